//! Attaching, which may take long, while signals are heard.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context as _;
use tokio::sync::{
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    oneshot,
};

use super::{
    Console, Progress,
    wait::{StopSignals, Targets},
};
use crate::{
    attach::{self, Attached, Bodies, Observer, Slow},
    load::Loader,
    render::Grouped,
    resolve::Probe,
};

/// What is to be attached, how, and what it is loaded by.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) loader: Loader,
    pub(super) probes: Vec<Probe>,
    pub(super) bodies: Bodies,
    pub(super) options: attach::Options,
}

impl Work {
    /// Attaches on a thread of its own, so that a signal, or the end of what is to be traced, stops
    /// it. Gives the work back with what is attached.
    ///
    /// # Errors
    ///
    /// When nothing could be attached, it was stopped, or there can be no thread.
    pub(super) async fn run(
        self,
        signals: &mut StopSignals,
        targets: &Targets,
        console: &mut Console<'_>,
    ) -> anyhow::Result<(Self, Attached)> {
        let places = Grouped(self.probes.len() as u64);
        let _working = console
            .progress
            .working(format!("attaching {places} probes"));
        let stopped = Arc::new(AtomicBool::new(false));
        let (notes, heard) = mpsc::unbounded_channel();
        let (tell, result) = oneshot::channel();
        let remote = Remote {
            stopped: Arc::clone(&stopped),
            notes,
            progress: console.progress.clone(),
        };
        let work = move || {
            // It is always waited for, except when all of us ends.
            let _ = tell.send(self.attach(&remote));
        };
        let started = thread::Builder::new().spawn(work);
        started.context(
            "failed to start a thread, whose number `ulimit -u` and pids.max of the cgroup limit",
        )?;
        let attaching = Attaching {
            stopped,
            heard,
            result,
        };
        attaching
            .finish(signals.next(), targets.all_ended(), console)
            .await
    }

    fn attach(self, remote: &Remote) -> anyhow::Result<(Self, Attached)> {
        let attached = attach::attach(
            &self.probes,
            &self.bodies,
            &self.loader,
            self.options,
            remote,
        )?;
        Ok((self, attached))
    }
}

/// The other thread's end while it attaches.
struct Remote {
    stopped: Arc<AtomicBool>,
    notes: UnboundedSender<Slow>,
    progress: Progress,
}

impl Observer for Remote {
    fn is_interrupted(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn hear(&self, slow: Slow) {
        // Nobody listens any more when we are being stopped.
        let _ = self.notes.send(slow);
    }

    fn count(&self, done: usize, all: usize) {
        self.progress.count(done, all);
    }
}

/// Our end of it.
struct Attaching<T> {
    stopped: Arc<AtomicBool>,
    heard: UnboundedReceiver<Slow>,
    result: oneshot::Receiver<anyhow::Result<T>>,
}

impl<T> Attaching<T> {
    /// Waits for the result, and has the work stop as soon as `signal` or `all_ended` is there.
    async fn finish(
        mut self,
        signal: impl Future<Output = ()>,
        all_ended: impl Future<Output = io::Result<()>>,
        console: &mut Console<'_>,
    ) -> anyhow::Result<T> {
        let (mut signal, mut all_ended) = (pin!(signal), pin!(all_ended));
        loop {
            tokio::select! {
                biased;
                () = &mut signal => {
                    // The work may have been in a call that attaches all, and not have asked. Nobody
                    // is told of this signal again, so what is attached is taken back.
                    drop(self.stop().await);
                    return Err(attach::Error::Interrupted.into());
                }
                Some(slow) = self.heard.recv() => console.say(format_args!("note: {slow}")),
                result = &mut self.result => return result?,
                ended = &mut all_ended => {
                    ended?;
                    // If it is attached by now, the run goes on, and is told of the end again.
                    let result = self.stop().await;
                    return result.context("what was to be traced has ended meanwhile");
                }
            }
        }
    }

    /// Has the work stop where it can, and waits for its end.
    async fn stop(self) -> anyhow::Result<T> {
        self.stopped.store(true, Ordering::Relaxed);
        self.result.await?
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::{render::Colours, tool::Verbosity};

    /// The result of work that is done when a signal is heard.
    fn finish(signal: impl Future<Output = ()>) -> anyhow::Result<&'static str> {
        let (_, heard) = mpsc::unbounded_channel();
        let (tell, result) = oneshot::channel();
        tell.send(Ok("attached")).expect("it is waited for");
        let attaching = Attaching {
            stopped: Arc::default(),
            heard,
            result,
        };
        let mut console = Console {
            results: &mut io::sink(),
            messages: &mut io::sink(),
            colours: Colours::default(),
            verbosity: Verbosity::Usual,
            progress: Progress::default(),
            shows_messages: false,
            held: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("no threads are needed");
        runtime.block_on(attaching.finish(signal, pending(), &mut console))
    }

    #[test]
    fn a_signal_stops_the_run_even_if_all_is_attached_by_then() {
        assert_eq!(finish(pending()).expect("attached"), "attached");
        let error = finish(ready(())).expect_err("interrupted");
        assert_eq!(error.to_string(), "interrupted while attaching");
    }
}
