mod conventions;
mod defaults;
mod errors;
mod fuzz;
mod machine;
mod random;
mod results;
mod shape;
mod sites;
mod verifier;

use self::machine::Machine;
use super::{
    Compiled, Context, Options, Site, Sources, compile,
    world::{self, World},
};
use crate::spec::TraceSpec;

/// Compiles a probe with the types of `world` for kernel and site.
fn compile_at(
    text: &str,
    site: &Site,
    world: &World,
    context: Context,
) -> Result<Compiled, String> {
    let spec = TraceSpec::parse(text).map_err(|error| error.to_string())?;
    let sources = Sources {
        kernel: Some(world),
        site: Some(world),
    };
    let options = Options {
        context,
        text_bytes: Options::DEFAULT_TEXT_BYTES,
        pid_namespace: None,
    };
    compile(&spec, site, sources, &options).map_err(|error| error.to_string())
}
