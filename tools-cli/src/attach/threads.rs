//! Work that is mostly waiting for the kernel, done by many threads at once.

use std::thread;

/// Does `work` on `most` threads at once, this one among them, and gives what each has made. They are
/// fewer where the system allows no more.
pub(super) fn on_threads<T: Send>(most: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, &work).ok();
        let others: Vec<_> = (1..most).map_while(start).collect();
        let mut made = vec![work()];
        made.extend(others.into_iter().filter_map(|other| other.join().ok()));
        made
    })
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        process::Command,
        sync::{Barrier, Mutex},
    };

    use super::*;

    /// What a thread's stack is to have at least; std reads it once (`thread::min_stack`).
    const STACK_BYTES: &str = "RUST_MIN_STACK";

    #[test]
    fn all_threads_work_at_once() {
        let all = Barrier::new(5);
        on_threads(5, || all.wait());
    }

    #[test]
    fn where_there_are_no_threads_all_is_done_on_this_one() {
        const NAME: &str =
            "attach::threads::tests::where_there_are_no_threads_all_is_done_on_this_one";
        /// More than a process can address, so that no thread can be started.
        const TOO_MANY: &str = "140737488355328";

        if env::var(STACK_BYTES).as_deref() != Ok(TOO_MANY) {
            // All over again, where it is so.
            let mut again = Command::new(env::current_exe().expect("it runs"));
            again.env(STACK_BYTES, TOO_MANY);
            let output = again.args(["--exact", NAME, "--test-threads=1"]).output();
            let output = output.expect("it can be run");
            assert!(output.status.success(), "{output:?}");
            return;
        }
        assert!(thread::Builder::new().spawn(|| ()).is_err());
        let todo = Mutex::new(vec![1, 2, 3]);
        let made = on_threads(3, || {
            let mut done = Vec::new();
            while let Some(one) = todo.lock().ok().and_then(|mut todo| todo.pop()) {
                done.push(one);
            }
            done
        });
        assert_eq!(made, [[3, 2, 1]]);
    }
}
