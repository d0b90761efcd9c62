//! doctor's flags.

use clap::Parser;

use crate::render::Format;

const STATUS: &str = "\
Exit status: 0 if all that funccount, stackcount and trace need works, 1 if something does not (FAIL).
What only could be better (warn) makes no difference.";

/// Check what this kernel and these privileges allow, and tell what to do about the rest.
///
/// Every way of attaching is tried for real, on an event of the kernel's, on a function of its that is
/// seldom called, and on one of this program; nothing is left behind.
#[derive(Parser)]
#[command(name = "doctor", version, after_help = STATUS)]
pub(super) struct Args {
    /// Print one JSON object per check
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) const fn format(&self) -> Format {
        if self.json {
            Format::Json
        } else {
            Format::Text
        }
    }
}
