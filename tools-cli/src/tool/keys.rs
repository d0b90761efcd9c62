//! The keys that are pressed while something is drawn on the terminal.

use std::{
    future::pending,
    io::{self, IsTerminal as _},
    mem::MaybeUninit,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

use super::wait::register;

/// The key that ends what is drawn, as with top.
const QUIT: u8 = b'q';

/// The keyboard of the terminal: while this is there, keys are not shown, where they would spoil
/// what is drawn, and are not left to the shell.
pub(super) struct Keys {
    input: AsyncFd<OwnedFd>,
    before: libc::termios,
}

impl Keys {
    /// Listens to standard input; nothing if that is no terminal, or can't be listened to. Waits in
    /// the background until it is brought to the front.
    pub(super) fn listen() -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let input = stdin.as_fd().try_clone_to_owned().ok()?;
        let keys = Self {
            before: settings(&input).ok()?,
            input: register(input, Interest::READABLE).ok()?,
        };
        keys.silence();
        Some(keys)
    }

    /// Keys are not shown from now on, and each can be read at once; those that send signals do.
    pub(super) fn silence(&self) {
        let mut silent = self.before;
        silent.c_lflag &= !(libc::ICANON | libc::ECHO);
        // A read takes what is there, and does not wait.
        silent.c_cc[libc::VMIN] = 0;
        silent.c_cc[libc::VTIME] = 0;
        self.set(&silent);
    }

    /// The keyboard is as it was before.
    pub(super) fn restore(&self) {
        self.set(&self.before);
    }

    /// That it can't be set is no reason to stop: only the keys are shown then.
    fn set(&self, settings: &libc::termios) {
        let fd = self.input.as_raw_fd();
        // SAFETY: the descriptor is open, and the pointer is to settings of that type.
        unsafe { libc::tcsetattr(fd, libc::TCSANOW, settings) };
    }

    async fn quit(&self) -> io::Result<()> {
        loop {
            let mut ready = self.input.readable().await?;
            let mut keys = [0; 64];
            let fd = self.input.as_raw_fd();
            // SAFETY: the pointer is to as many bytes as are told.
            let read = unsafe { libc::read(fd, keys.as_mut_ptr().cast(), keys.len()) };
            match usize::try_from(read) {
                Ok(read) if keys[..read].contains(&QUIT) => return Ok(()),
                Ok(1..) => {}
                // Nothing more is there; or the terminal is gone, of which a signal tells.
                Ok(0) | Err(_) => ready.clear_ready(),
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.restore();
    }
}

fn settings(terminal: &OwnedFd) -> io::Result<libc::termios> {
    let mut settings = MaybeUninit::uninit();
    // SAFETY: the descriptor is open, and the pointer is to room for what is written.
    match unsafe { libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()) } {
        // SAFETY: the call has written it.
        0 => Ok(unsafe { settings.assume_init() }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits until the key is pressed that ends what is drawn; forever if nobody listens.
///
/// # Errors
///
/// When it can't be waited for.
pub(super) async fn quit(keys: Option<&Keys>) -> io::Result<()> {
    match keys {
        Some(keys) => keys.quit().await,
        None => pending().await,
    }
}
