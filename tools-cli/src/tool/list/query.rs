//! What a pattern of `list` means: more than a spec does, since nothing is attached.

use super::structure::Structures;
use crate::spec::{Function, Moment, Pattern, ProbeSpec, SpecError, Syntax, Target};

/// What is to be listed.
#[derive(Clone, Debug)]
pub enum Query {
    /// What any of these specs stands for.
    All(Vec<ProbeSpec>),
    /// What the first of these specs that stands for something stands for.
    First(Vec<ProbeSpec>),
    /// In the files that were asked for beside the pattern.
    Within(Box<Names>),
    /// Structures of the kernel.
    Structures(Structures),
}

/// What is looked for in a file.
#[derive(Clone, Debug)]
pub struct Names {
    /// The pattern.
    text: String,
    /// Which functions.
    function: Option<Function>,
    /// Which USDT probes.
    usdt: Option<Usdt>,
}

#[derive(Clone, Debug)]
struct Usdt {
    provider: Option<Pattern>,
    probe: Pattern,
}

impl Query {
    /// Everything that `text` may mean. `is_within` says that a file or a process was named beside
    /// it: names without a kind are then looked for there.
    ///
    /// In place of a kind or of a category of tracepoints there may be a `*`, as bpftrace and bcc's
    /// tplist have it: `*:*nanosleep*`, `sys*:*nanosleep*`. `sched:sched_*` means tracepoints where
    /// nothing else has such a name. `struct` or `union` and a name mean types of the kernel.
    ///
    /// # Errors
    ///
    /// When it is neither a spec nor one of these.
    pub fn parse(text: &str, syntax: Syntax, is_within: bool) -> Result<Self, SpecError> {
        if let Some(structures) = Structures::parse(text) {
            return Ok(Self::Structures(structures));
        }
        let parts = text.split_once(':').filter(|_| syntax == Syntax::Glob);
        if let Some((first, rest)) = parts.filter(|(first, _)| first.contains('*')) {
            return Self::wild(text, first, rest, is_within);
        }
        let spec = ProbeSpec::parse(text, syntax)?;
        Ok(match &spec.target {
            Target::KernelFunction(function) if is_within => Self::of_name(text, function.clone()),
            Target::UserFunction { .. } if parts.is_some() && !text.contains('/') => Self::First(
                vec![tracepoints(text, text), spec]
                    .into_iter()
                    .rev()
                    .collect(),
            ),
            _ => Self::All(vec![spec]),
        })
    }

    /// All USDT probes of the files that were asked for.
    #[must_use]
    pub fn all_usdt() -> Self {
        Self::Within(Box::new(Names {
            text: "*".to_owned(),
            function: None,
            usdt: Some(Usdt {
                provider: None,
                probe: Pattern::glob("*"),
            }),
        }))
    }

    fn of_name(text: &str, function: Function) -> Self {
        let is_name = function.offset == 0 && function.moment == Moment::Entry;
        Self::Within(Box::new(Names {
            text: text.to_owned(),
            usdt: is_name.then(|| Usdt {
                provider: None,
                probe: function.name.clone(),
            }),
            function: Some(function),
        }))
    }

    /// A `*` before the first colon.
    fn wild(text: &str, first: &str, rest: &str, is_within: bool) -> Result<Self, SpecError> {
        let is_any_kind = first == "*" && !rest.contains(':');
        if is_within {
            let function = match ProbeSpec::parse(rest, Syntax::Glob)?.target {
                Target::KernelFunction(function) if is_any_kind => Some(function),
                _ => None,
            };
            return Ok(Self::Within(Box::new(Names {
                text: text.to_owned(),
                function,
                usdt: Some(Usdt {
                    provider: Some(Pattern::glob(first)),
                    probe: Pattern::glob(rest),
                }),
            })));
        }
        if is_any_kind {
            let functions = ProbeSpec::parse(rest, Syntax::Glob)?;
            return Ok(Self::All(vec![functions, tracepoints(text, text)]));
        }
        let meant = if first == "*" { rest } else { text };
        // Checked as all specs are.
        ProbeSpec::parse(&format!("t:{meant}"), Syntax::Glob)?;
        Ok(Self::All(vec![tracepoints(text, meant)]))
    }

    /// The specs to look up, with `files` for those that are within files.
    pub(super) fn specs(&self, files: &[String]) -> Vec<ProbeSpec> {
        match self {
            Self::All(specs) | Self::First(specs) => specs.clone(),
            Self::Structures(_) => Vec::new(),
            Self::Within(names) => files.iter().flat_map(|file| names.specs(file)).collect(),
        }
    }
}

impl Names {
    fn specs(&self, file: &str) -> impl Iterator<Item = ProbeSpec> {
        let function = self.function.clone().map(|function| Target::UserFunction {
            binary: file.to_owned(),
            function,
        });
        let usdt = self.usdt.clone().map(|usdt| Target::Usdt {
            binary: file.to_owned(),
            provider: usdt.provider,
            probe: usdt.probe,
        });
        function.into_iter().chain(usdt).map(|target| ProbeSpec {
            text: self.text.clone(),
            target,
        })
    }
}

fn tracepoints(text: &str, pattern: &str) -> ProbeSpec {
    ProbeSpec {
        text: text.to_owned(),
        target: Target::Tracepoint(Pattern::glob(pattern)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(text: &str, is_within: bool) -> Vec<String> {
        let query = Query::parse(text, Syntax::Glob, is_within).expect("valid");
        let files = ["FILE".to_owned()];
        let shown = |spec: ProbeSpec| match spec.target {
            Target::KernelFunction(function) => format!("kernel {}", function.name),
            Target::UserFunction { binary, function } => format!("{binary} {}", function.name),
            Target::Tracepoint(pattern) => format!("tracepoint {pattern}"),
            Target::Usdt {
                binary,
                provider: None,
                probe,
            } => format!("usdt {binary} {probe}"),
            Target::Usdt {
                binary,
                provider: Some(provider),
                probe,
            } => format!("usdt {binary} {provider} {probe}"),
        };
        query.specs(&files).into_iter().map(shown).collect()
    }

    #[test]
    fn patterns_mean_what_users_of_other_tools_expect() {
        for (text, expected) in [
            ("vfs_*", &["kernel vfs_*"][..]),
            ("t:sched:*", &["tracepoint sched:*"]),
            ("c:mal*", &["c mal*", "tracepoint c:mal*"]),
            ("/bin/x:mal*", &["/bin/x mal*"]),
            ("u:c:mem*", &["usdt c mem*"]),
            (
                "*:*nanosleep*",
                &["kernel *nanosleep*", "tracepoint *:*nanosleep*"],
            ),
            ("sys*:*nanosleep*", &["tracepoint sys*:*nanosleep*"]),
            ("*:sched:*", &["tracepoint sched:*"]),
        ] {
            assert_eq!(meant(text, false), expected, "{text}");
        }
    }

    #[test]
    fn names_without_a_kind_are_looked_for_in_the_file() {
        for (text, expected) in [
            ("mal*", &["FILE mal*", "usdt FILE mal*"][..]),
            ("*:mal*", &["FILE mal*", "usdt FILE * mal*"]),
            ("lib*:mal*", &["usdt FILE lib* mal*"]),
            ("malloc+4", &["FILE malloc"]),
            ("r::malloc", &["FILE malloc"]),
            ("t:sched:*", &["tracepoint sched:*"]),
        ] {
            assert_eq!(meant(text, true), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_spec_is_refused() {
        for text in ["x:a:b", "*:", "*:a b", "a*:b:c"] {
            assert!(Query::parse(text, Syntax::Glob, false).is_err(), "{text}");
        }
    }
}
