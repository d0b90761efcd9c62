//! Takes the text of a probe apart.

use super::{
    Function, Moment, Syntax, Target,
    error::{Kind, Problem, SpecError},
    offset,
    part::Part,
    pattern::Pattern,
};

/// What `text` names.
pub(super) fn target(text: &str, syntax: Syntax) -> Result<Target, SpecError> {
    let whole = Part::whole(text);
    if text.is_empty() {
        return Err(whole.error(Problem::Empty, "write a function, such as `vfs_read`"));
    }
    check_characters(whole, syntax)?;
    let parser = Parser { syntax };
    let Some((kind, rest)) = kind(whole) else {
        return parser.without_kind(whole);
    };
    match kind {
        Kind::Entry => parser.function_of_kind(kind, Moment::Entry, rest),
        Kind::Return => parser.function_of_kind(kind, Moment::Return, rest),
        Kind::Tracepoint => parser.tracepoint(rest).map(Target::Tracepoint),
        Kind::Usdt => parser.usdt(rest),
    }
}

fn check_characters(whole: Part<'_>, syntax: Syntax) -> Result<(), SpecError> {
    let unexpected = |c: &char| c.is_control() || c.is_whitespace();
    let Some((at, character)) = whole.text().char_indices().find(|(_, c)| unexpected(c)) else {
        return Ok(());
    };
    let end = at + character.len_utf8();
    let in_name = whole.text()[..at].contains(':') && end < whole.text().len();
    let note = match (character, syntax) {
        (' ', Syntax::Glob) if in_name => "write `*` for a space in a name",
        (' ', Syntax::Regex) if in_name => "write `\\s` for a space in a name",
        _ => "remove it",
    };
    Err(whole
        .slice(at..end)
        .error(Problem::Character(character), note))
}

/// The kind that is written before the first colon, and what follows it.
fn kind(whole: Part<'_>) -> Option<(Kind, Part<'_>)> {
    let (word, rest) = whole.split_at_colon()?;
    Some((Kind::from_word(word.text())?, rest))
}

struct Parser {
    syntax: Syntax,
}

impl Parser {
    fn without_kind(&self, whole: Part<'_>) -> Result<Target, SpecError> {
        let Some((binary, name)) = self.split(whole) else {
            return self.kernel_function(whole, Moment::Entry);
        };
        if binary.is_empty() {
            let name = or(name.text().trim_start_matches(':'), "function");
            let note = format!("write `{name}` for a kernel function, or `./prog:{name}`");
            return Err(binary.error(Problem::EmptyPart("program or library"), note));
        }
        if let Some(meant) = self.meant_kind(binary, name) {
            let found = binary.text().to_owned();
            return Err(binary.error(Problem::UnknownKind(found), format!("write `{meant}`")));
        }
        self.user_function(binary, name, Moment::Entry)
    }

    /// What to write instead, if `word` stands where a kind would and is no program or library.
    fn meant_kind(&self, word: Part<'_>, rest: Part<'_>) -> Option<String> {
        let parts = self.split(rest);
        let last = parts.map_or(rest, |(_, last)| last).text();
        let rest = rest.text();
        // Three parts, and not the `::` of C++.
        let three = parts.is_some_and(|(binary, name)| {
            !binary.is_empty() && !name.is_empty() && !name.text().starts_with(':')
        });
        match word.text() {
            // Long words are bpftrace's kinds.
            "kprobe" => Some(format!("p::{last}")),
            "kretprobe" => Some(format!("r::{last}")),
            path if !three || path.contains('/') => None,
            "uretprobe" | "R" => Some(format!("r:{rest}")),
            "tracepoint" | "T" => Some(format!("t:{rest}")),
            "usdt" | "U" => Some(format!("u:{rest}")),
            _ => Some(format!("p:{rest}")),
        }
    }

    fn function_of_kind(
        &self,
        kind: Kind,
        moment: Moment,
        rest: Part<'_>,
    ) -> Result<Target, SpecError> {
        let Some((binary, name)) = self.split(rest) else {
            return Err(too_few_parts(kind, rest));
        };
        if binary.is_empty() {
            return self.kernel_function(name, moment);
        }
        self.user_function(binary, name, moment)
    }

    fn kernel_function(&self, name: Part<'_>, moment: Moment) -> Result<Target, SpecError> {
        let text = name.text();
        let is_path = ["/", "./", "../"]
            .iter()
            .any(|start| text.starts_with(start));
        if is_path && !text.contains(':') {
            // The kind `p::` of a kernel function becomes `p:`.
            let note = format!(
                "write `{}{text}:function`",
                name.before().replace("::", ":")
            );
            return Err(name.error(Problem::NoFunction(text.to_owned()), note));
        }
        self.function(name, moment).map(Target::KernelFunction)
    }

    fn user_function(
        &self,
        binary: Part<'_>,
        name: Part<'_>,
        moment: Moment,
    ) -> Result<Target, SpecError> {
        if name.text().starts_with(':') {
            return Err(no_binary(binary, name));
        }
        let binary_text = self.binary(binary)?;
        let function = self.function(name, moment)?;
        Ok(Target::UserFunction {
            binary: binary_text,
            function,
        })
    }

    fn tracepoint(&self, rest: Part<'_>) -> Result<Pattern, SpecError> {
        let kind = Kind::Tracepoint;
        let Some((category, event)) = self.split(rest) else {
            // Categories and events can be anywhere in a regular expression: `(a:b|c:d)`.
            return match self.syntax {
                Syntax::Regex if rest.text().contains(':') => self.pattern(rest),
                _ => Err(too_few_parts(kind, rest)),
            };
        };
        self.not_empty_name(category, "category")?;
        self.not_empty_name(event, "event")?;
        if let Some((_, more)) = self.split(event) {
            return Err(too_many_parts(kind, more));
        }
        self.without_offset(event, "a tracepoint is one place")?;
        self.pattern(rest)
    }

    fn usdt(&self, rest: Part<'_>) -> Result<Target, SpecError> {
        let kind = Kind::Usdt;
        let Some((binary, names)) = self.split(rest) else {
            return Err(too_few_parts(kind, rest));
        };
        let (provider, probe) = match self.split(names) {
            Some((provider, probe)) => (Some(provider), probe),
            None => (None, names),
        };
        let binary = self.binary(binary)?;
        if let Some(provider) = provider {
            not_empty(provider, "provider", "leave out the `:` for any provider")?;
        }
        self.not_empty_name(probe, "probe")?;
        if let Some((_, more)) = self.split(probe) {
            return Err(too_many_parts(kind, more));
        }
        self.without_offset(probe, "a USDT probe is one place")?;
        // With `-r` this has no star, or `split` would not have found it, and is one name.
        let provider = provider.map(|provider| Pattern::glob(provider.text()));
        Ok(Target::Usdt {
            binary,
            provider,
            probe: self.pattern(probe)?,
        })
    }

    /// Splits at the first colon, unless it belongs to a regular expression.
    fn split<'a>(&self, part: Part<'a>) -> Option<(Part<'a>, Part<'a>)> {
        part.split_at_colon()
            .filter(|(before, _)| self.is_plain(before.text()))
    }

    /// Whether `text` can be a kind, a program or a library, and is not a regular expression.
    fn is_plain(&self, text: &str) -> bool {
        // Without `.` and `+`, which are frequent in the names of files (`libstdc++.so`).
        const ONLY_IN_REGEX: &[char] =
            &['^', '$', '|', '(', ')', '[', ']', '{', '}', '*', '?', '\\'];
        self.syntax == Syntax::Glob || !text.contains(ONLY_IN_REGEX)
    }

    fn binary(&self, binary: Part<'_>) -> Result<String, SpecError> {
        const NOTE: &str = "write a library's name, a program's name, or a path";
        not_empty(binary, "program or library", NOTE)?;
        if let Some(at) = binary.text().find('*') {
            return Err(binary.slice(at..at + 1).error(Problem::BinaryPattern, NOTE));
        }
        Ok(binary.text().to_owned())
    }

    fn function(&self, name: Part<'_>, moment: Moment) -> Result<Function, SpecError> {
        self.not_empty_name(name, "function")?;
        if let Some(colons) = self.stray_colons(name) {
            return Err(colons.error(Problem::Colon, "write `::`, and only between two names"));
        }
        if self.syntax == Syntax::Regex {
            return Ok(Function {
                name: self.pattern(name)?,
                offset: 0,
                moment,
            });
        }
        let (name, offset) = offset::split(name)?;
        if let Some(offset) = offset
            && moment == Moment::Return
        {
            let note = format!("remove it, or use `p` for a place inside `{}`", name.text());
            return Err(offset.misplaced("a return has no place of its own", note));
        }
        let offset = offset.map_or(0, |offset| offset.bytes);
        Ok(Function {
            name: self.pattern(name)?,
            offset,
            moment,
        })
    }

    fn not_empty_name(&self, name: Part<'_>, what: &'static str) -> Result<(), SpecError> {
        let all = match self.syntax {
            Syntax::Glob => "write `*` for all",
            Syntax::Regex => "write `.*` for all",
        };
        not_empty(name, what, all)
    }

    /// The first colons in `name` that are not a `::` between two names.
    fn stray_colons<'a>(&self, name: Part<'a>) -> Option<Part<'a>> {
        let text = name.text();
        let mut end = 0;
        while let Some(found) = text[end..].find(':') {
            let start = end + found;
            if !self.is_plain(&text[..start]) {
                return None;
            }
            end = start
                + text[start..]
                    .bytes()
                    .take_while(|byte| *byte == b':')
                    .count();
            // A regular expression can go on where it seems to end.
            let between = start > 0 && (end < text.len() || self.syntax == Syntax::Regex);
            if end - start != 2 || !between {
                return Some(name.slice(start..end));
            }
        }
        None
    }

    fn pattern(&self, part: Part<'_>) -> Result<Pattern, SpecError> {
        match self.syntax {
            Syntax::Glob => Ok(Pattern::glob(part.text())),
            Syntax::Regex => Pattern::regex(part.text()).map_err(|error| {
                part.error(
                    Problem::Regex(error),
                    "put a `\\` before a character to mean itself",
                )
            }),
        }
    }

    fn without_offset(&self, part: Part<'_>, reason: &'static str) -> Result<(), SpecError> {
        if self.syntax == Syntax::Glob
            && let Ok((_, Some(offset))) = offset::split(part)
        {
            return Err(offset.misplaced(reason, "remove it"));
        }
        Ok(())
    }
}

fn not_empty(part: Part<'_>, what: &'static str, note: &str) -> Result<(), SpecError> {
    if part.is_empty() {
        return Err(part.error(Problem::EmptyPart(what), note));
    }
    Ok(())
}

/// `std::f`: what looks like the program is the start of the function's name, unless it is a path.
fn no_binary(binary: Part<'_>, name: Part<'_>) -> SpecError {
    let (kind, binary_text) = (binary.before(), binary.text());
    let function = or(name.text().trim_start_matches(':'), "function");
    if binary_text.contains('/') {
        let note = format!("write `{kind}{binary_text}:{function}`");
        return name.slice(0..1).error(Problem::Colon, note);
    }
    let note =
        format!("write a program or library first: `{kind}./prog:{binary_text}::{function}`");
    binary.error(
        Problem::NoBinary(format!("{binary_text}:{}", name.text())),
        note,
    )
}

/// `p:f`: could be meant as a kind, or as a library of that name.
fn too_few_parts(kind: Kind, rest: Part<'_>) -> SpecError {
    let (between, what, name) = match kind {
        Kind::Entry | Kind::Return => ("", "a kernel function", "function"),
        Kind::Tracepoint => ("category", "a tracepoint", "event"),
        Kind::Usdt => ("library", "a USDT probe", "probe"),
    };
    let name = or(rest.text(), name);
    let note = format!(
        "write `{kind}:{between}:{name}` for {what}, \
         `p:{kind}:{name}` for a function of a library called {kind}"
    );
    rest.whole_text().error(Problem::TooFewParts(kind), note)
}

fn too_many_parts(kind: Kind, more: Part<'_>) -> SpecError {
    let from_colon = more.with_colon_before();
    from_colon.error(Problem::TooManyParts(kind), "remove this")
}

fn or<'a>(text: &'a str, instead: &'a str) -> &'a str {
    if text.is_empty() { instead } else { text }
}
