//! The list of probes, one a line, as specs.

use std::io::{self, BufWriter, Write};

use serde::{Serialize, Serializer};

use super::{Escaped, Format, json};
use crate::types::{Declaration, Declared};

/// A probe as it is listed.
#[derive(Clone, Debug, Serialize)]
pub struct ListedProbe {
    /// The spec that names it and nothing else.
    #[serde(rename = "probe")]
    pub spec: String,
    /// What it is.
    pub kind: ProbeKind,
    /// Its name as it was written: of a C++ function, demangled.
    pub name: String,
    /// The module of the kernel that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The program or library that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// At how many places it fires.
    pub places: usize,
    /// What it tells, if that was asked for and is known.
    #[serde(flatten)]
    pub detail: Option<Detail>,
}

/// What can be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// A function of the kernel.
    KernelFunction,
    /// A function of a program or library.
    UserFunction,
    /// A tracepoint.
    Tracepoint,
    /// A statically defined probe of a program or library.
    Usdt,
    /// No probe: a structure or union of the kernel.
    Structure,
}

/// What a probe tells.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Detail {
    /// A function's parameters.
    Function {
        /// As C declares it.
        declaration: String,
        /// Its parameters, in order.
        parameters: Vec<Typed>,
        /// The type of what it returns.
        returns: String,
        /// Whether more arguments may follow.
        variadic: bool,
    },
    /// A tracepoint's fields, in order.
    Record {
        /// Without those that all tracepoints have.
        fields: Vec<Typed>,
    },
    /// Where a USDT probe is and what it has there.
    Usdt {
        /// Places with the same arguments together.
        locations: Vec<UsdtLocation>,
    },
}

/// A parameter or field.
#[derive(Clone, Debug, Serialize)]
pub struct Typed {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its type, as C writes it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Both, as C declares it.
    #[serde(skip)]
    pub text: String,
}

impl From<Declared> for Typed {
    fn from(declared: Declared) -> Self {
        Self {
            name: declared.name,
            type_name: declared.type_name,
            text: declared.text,
        }
    }
}

/// Places of a USDT probe that have the same arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsdtLocation {
    /// Bytes from the start of the file.
    pub offsets: Vec<u64>,
    /// Bytes from the start of the file to the semaphore, if it has one.
    pub semaphore: Option<u64>,
    /// The arguments, from `arg1` on.
    pub arguments: Vec<UsdtArgument>,
}

/// An argument of a USDT probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsdtArgument {
    /// Its size.
    pub bytes: u64,
    /// Whether it has a sign.
    pub signed: bool,
    /// Where it is, as assemblers write it; or why it can't be read.
    #[serde(serialize_with = "displayed")]
    pub place: crate::resolve::elf::Place,
}

fn displayed<S: Serializer>(
    place: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(place)
}

impl Detail {
    /// That of a function called `name`.
    #[must_use]
    pub fn of_function(name: &str, declaration: Declaration) -> Self {
        Self::Function {
            declaration: declaration.of(name),
            returns: declaration.returns,
            variadic: declaration.is_variadic,
            parameters: declaration
                .parameters
                .into_iter()
                .map(Typed::from)
                .collect(),
        }
    }

    /// The lines that stand below the probe.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Function { declaration, .. } => vec![declaration.clone()],
            Self::Record { fields } => fields.iter().map(|field| field.text.clone()).collect(),
            Self::Usdt { locations } => locations.iter().flat_map(UsdtLocation::lines).collect(),
        }
    }
}

impl UsdtLocation {
    fn lines(&self) -> Vec<String> {
        let places = match self.offsets.as_slice() {
            [only] => format!("at {only:#x}"),
            [first, others @ ..] => format!("at {first:#x} and {} more places", others.len()),
            [] => String::new(),
        };
        let semaphore = self.semaphore.map_or(String::new(), |offset| {
            format!(", switched on by a semaphore at {offset:#x}")
        });
        let arguments = (1..).zip(&self.arguments).map(|(number, argument)| {
            let sign = if argument.signed {
                "signed"
            } else {
                "unsigned"
            };
            format!(
                "arg{number}: {} bytes, {sign}, {}",
                argument.bytes, argument.place
            )
        });
        [format!("{places}{semaphore}")]
            .into_iter()
            .chain(arguments)
            .collect()
    }
}

/// Writes all `probes`: a line each with what is known below it, or an object each.
///
/// # Errors
///
/// When they can't be written.
pub fn write_probes(out: &mut dyn Write, format: Format, probes: &[ListedProbe]) -> io::Result<()> {
    // Standard output would be written to at each line.
    let mut out = BufWriter::new(out);
    for probe in probes {
        match format {
            Format::Text => write_text(&mut out, probe)?,
            Format::Json => json::write_line(&mut out, probe)?,
        }
    }
    out.flush()
}

fn write_text(out: &mut dyn Write, probe: &ListedProbe) -> io::Result<()> {
    writeln!(out, "{}", Escaped(&probe.spec))?;
    for line in probe.detail.iter().flat_map(Detail::lines) {
        writeln!(out, "    {}", Escaped(&line))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::elf::Operand;

    fn usdt() -> ListedProbe {
        let argument = |operand: Operand| UsdtArgument {
            bytes: operand.bytes,
            signed: operand.is_signed,
            place: operand.place,
        };
        let arguments = Operand::parse_all("-4@%edi 8@-16(%rbp,%rax,4) 2@$7");
        ListedProbe {
            spec: "u:./prog:app:start\x1b".to_owned(),
            kind: ProbeKind::Usdt,
            name: "start".to_owned(),
            module: None,
            file: Some("/tmp/prog".to_owned()),
            places: 3,
            detail: Some(Detail::Usdt {
                locations: vec![UsdtLocation {
                    offsets: vec![0x10, 0x20, 0x30],
                    semaphore: Some(0x40),
                    arguments: arguments.into_iter().map(argument).collect(),
                }],
            }),
        }
    }

    fn written(format: Format) -> String {
        let mut out = Vec::new();
        write_probes(&mut out, format, &[usdt()]).expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn details_are_below_the_probe() {
        assert_eq!(
            written(Format::Text),
            "u:./prog:app:start\\u{1b}\n    \
             at 0x10 and 2 more places, switched on by a semaphore at 0x40\n    \
             arg1: 4 bytes, signed, %rdi\n    \
             arg2: 8 bytes, unsigned, -16(%rbp,%rax,4)\n    \
             arg3: 2 bytes, unsigned, $7\n"
        );
    }

    #[test]
    fn json_has_an_object_per_probe() {
        let probe: serde_json::Value = serde_json::from_str(&written(Format::Json)).expect("JSON");
        assert_eq!(probe["kind"], "usdt");
        assert_eq!(probe["places"], 3);
        let location = &probe["locations"][0];
        assert_eq!(location["offsets"], serde_json::json!([16, 32, 48]));
        assert_eq!(
            location["arguments"][1],
            serde_json::json!({"bytes": 8, "signed": false, "place": "-16(%rbp,%rax,4)"})
        );
    }
}
