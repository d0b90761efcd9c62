//! Functions as C declares them: with the names of typedefs and with qualifiers, which
//! [`Type`](super::Type) leaves out.

use std::fmt;

use super::{Error, Parameter, Prototype, TypeId};

/// Types that one declaration may be made of; damaged descriptions could go in circles.
const STEPS_UP_TO: usize = 512;

/// What is written for a type that takes more than that.
const TOO_LONG: &str = "…";

/// A function's declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// What it returns, as C writes the type.
    pub returns: String,
    /// Its parameters, in order.
    pub parameters: Vec<Declared>,
    /// Whether more arguments may follow.
    pub is_variadic: bool,
}

/// A parameter, or a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its type alone: `const char *`.
    pub type_name: String,
    /// Both, as C declares it: `const char *name`, `int (*done)(void)`.
    pub text: String,
}

impl Declaration {
    /// The declaration of a function called `name`.
    #[must_use]
    pub fn of(&self, name: &str) -> String {
        let space = if self.returns.ends_with('*') { "" } else { " " };
        format!("{}{space}{name}({})", self.returns, Parameters(self))
    }
}

/// What is between the parentheses.
struct Parameters<'a>(&'a Declaration);

impl fmt::Display for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Declaration {
            parameters,
            is_variadic,
            ..
        } = self.0;
        let mut texts: Vec<&str> = parameters.iter().map(|it| &*it.text).collect();
        if *is_variadic {
            texts.push("...");
        }
        if texts.is_empty() {
            texts.push("void");
        }
        f.write_str(&texts.join(", "))
    }
}

/// The outermost part of a type as it is written.
#[derive(Debug)]
pub(super) enum Layer {
    /// A name: `size_t`, `unsigned int`, `struct file`.
    Name(String),
    /// A word before the rest.
    Qualifier(&'static str, TypeId),
    /// `*`, or C++'s `&` and `&&`.
    Pointer(&'static str, TypeId),
    /// An array; 0 elements if it is open.
    Array(TypeId, u64),
    /// A function, with the types as they are written.
    Function(Prototype),
}

/// A description that knows how types were written.
pub(super) trait Written {
    /// The outermost part of a type, typedefs and qualifiers not passed over.
    fn layer(&self, id: TypeId) -> Result<Layer, Error>;
}

/// The declaration of a function with this prototype, whose types are as they are written.
pub(super) fn declare(source: &dyn Written, prototype: &Prototype) -> Result<Declaration, Error> {
    let parameters = prototype.parameters.iter();
    Ok(Declaration {
        parameters: parameters
            .map(|parameter| declare_one(source, parameter))
            .collect::<Result<_, Error>>()?,
        returns: write(source, prototype.returns, "")?,
        is_variadic: prototype.is_variadic,
    })
}

/// The declaration of a parameter or member whose type is as it is written.
pub(super) fn declare_one(source: &dyn Written, named: &Parameter) -> Result<Declared, Error> {
    let name = named.name.as_deref().unwrap_or_default();
    Ok(Declared {
        type_name: write(source, named.type_id, "")?,
        text: write(source, named.type_id, name)?,
        name: named.name.clone(),
    })
}

fn write(source: &dyn Written, id: TypeId, name: &str) -> Result<String, Error> {
    let mut writer = Writer {
        source,
        left: STEPS_UP_TO,
    };
    writer.write(id, name.to_owned())
}

struct Writer<'a> {
    source: &'a dyn Written,
    left: usize,
}

impl Writer<'_> {
    /// `declarator`, which is what C writes around a name, as something of this type.
    fn write(&mut self, id: TypeId, declarator: String) -> Result<String, Error> {
        match self.step(id)? {
            None => Ok(joined(TOO_LONG, &declarator)),
            Some(Layer::Name(name)) => Ok(joined(&name, &declarator)),
            Some(Layer::Qualifier(word, inner)) => self.qualified(word, inner, &declarator),
            Some(Layer::Pointer(sign, target)) => {
                let declarator = format!("{sign}{declarator}");
                match self.step(target)? {
                    // These bind tighter than a pointer.
                    Some(Layer::Array(..) | Layer::Function(_)) => {
                        self.write(target, format!("({declarator})"))
                    }
                    _ => self.write(target, declarator),
                }
            }
            Some(Layer::Array(element, count)) => {
                let count = match count {
                    0 => String::new(),
                    count => count.to_string(),
                };
                self.write(element, format!("{declarator}[{count}]"))
            }
            Some(Layer::Function(prototype)) => self.function(&prototype, &declarator),
        }
    }

    /// A pointer's qualifiers are behind its star, all others in front.
    fn qualified(&mut self, word: &str, inner: TypeId, declarator: &str) -> Result<String, Error> {
        match self.step(inner)? {
            Some(Layer::Pointer(..)) => self.write(inner, joined(word, declarator)),
            _ => Ok(format!(
                "{word} {}",
                self.write(inner, declarator.to_owned())?
            )),
        }
    }

    fn function(&mut self, prototype: &Prototype, declarator: &str) -> Result<String, Error> {
        let mut declaration = Declaration {
            returns: String::new(),
            parameters: Vec::new(),
            is_variadic: prototype.is_variadic,
        };
        for parameter in &prototype.parameters {
            let text = self.write(parameter.type_id, String::new())?;
            declaration.parameters.push(Declared {
                name: None,
                type_name: text.clone(),
                text,
            });
        }
        let declarator = format!("{declarator}({})", Parameters(&declaration));
        self.write(prototype.returns, declarator)
    }

    /// The next layer; nothing if there have been too many.
    fn step(&mut self, id: TypeId) -> Result<Option<Layer>, Error> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        self.source.layer(id).map(Some)
    }
}

fn joined(before: &str, declarator: &str) -> String {
    let space = if declarator.is_empty() || declarator.starts_with('[') {
        ""
    } else {
        " "
    };
    format!("{before}{space}{declarator}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types by number: 0 is void, 1 int, then as the tests need them.
    struct Types(fn(u64) -> Layer);

    impl Written for Types {
        fn layer(&self, id: TypeId) -> Result<Layer, Error> {
            Ok((self.0)(id.0))
        }
    }

    fn declared(types: fn(u64) -> Layer, parameters: &[(&str, u64)]) -> String {
        let parameters = parameters.iter().map(|&(name, id)| Parameter {
            name: (!name.is_empty()).then(|| name.to_owned()),
            type_id: TypeId(id),
        });
        let prototype = Prototype {
            parameters: parameters.collect(),
            returns: TypeId(0),
            is_variadic: false,
        };
        let declaration = declare(&Types(types), &prototype).expect("described");
        declaration.of("f")
    }

    fn some(id: u64) -> Layer {
        match id {
            0 => Layer::Name("void".to_owned()),
            1 => Layer::Name("int".to_owned()),
            2 => Layer::Pointer("*", TypeId(1)),
            3 => Layer::Qualifier("const", TypeId(1)),
            4 => Layer::Pointer("*", TypeId(3)),
            5 => Layer::Qualifier("const", TypeId(4)),
            6 => Layer::Array(TypeId(1), 4),
            7 => Layer::Pointer("*", TypeId(6)),
            8 => Layer::Function(Prototype {
                parameters: vec![Parameter {
                    name: Some("x".to_owned()),
                    type_id: TypeId(4),
                }],
                returns: TypeId(2),
                is_variadic: true,
            }),
            9 => Layer::Pointer("*", TypeId(8)),
            10 => Layer::Array(TypeId(6), 0),
            _ => Layer::Pointer("*", TypeId(11)),
        }
    }

    #[test]
    fn declarations_are_written_as_c_does() {
        for (id, expected) in [
            (1, "int p"),
            (2, "int *p"),
            (3, "const int p"),
            (4, "const int *p"),
            (5, "const int *const p"),
            (6, "int p[4]"),
            (7, "int (*p)[4]"),
            (9, "int *(*p)(const int *, ...)"),
            (10, "int p[][4]"),
        ] {
            let text = declared(some, &[("p", id)]);
            assert_eq!(text, format!("void f({expected})"));
        }
        assert_eq!(
            declared(some, &[("", 4), ("", 7)]),
            "void f(const int *, int (*)[4])"
        );
        assert_eq!(declared(some, &[]), "void f(void)");
    }

    #[test]
    fn circles_come_to_an_end() {
        assert!(declared(some, &[("p", 11)]).contains(TOO_LONG));
    }
}
