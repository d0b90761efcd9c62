//! What users write: probes, expressions, messages.

use std::sync::LazyLock;

use super::on_text;
use crate::{
    compile::{
        self, CompiledFn, Context, FunctionSite, Layout, OperandPlace, Options, Site, SlotKind,
        Sources, Space,
        world::{self, World},
    },
    render::{Names, Value, write_message},
    spec::{Function, Moment, Pattern, ProbeSpec, Syntax, Target, TraceSpec},
};

/// A byte that tells the syntax, then the text.
pub(super) fn spec(bytes: &[u8]) {
    let Some((first, text)) = bytes.split_first() else {
        return;
    };
    let syntax = match first % 2 {
        0 => Syntax::Glob,
        _ => Syntax::Regex,
    };
    on_text(text, |text| match ProbeSpec::parse(text, syntax) {
        Ok(spec) => {
            let written = written(&spec.target);
            let again = ProbeSpec::parse(&written, syntax).map(|spec| format!("{:?}", spec.target));
            let first = format!("{:?}", spec.target);
            assert_eq!(
                again.map_err(|error| error.to_string()),
                Ok(first),
                "{written:?}"
            );
        }
        Err(error) => {
            assert_printable(&error.to_string());
            assert!(text.get(error.snippet.span.clone()).is_some(), "{error:?}");
        }
    });
}

/// The text that says most clearly what a target is.
fn written(target: &Target) -> String {
    let function = |binary: &str, function: &Function| {
        let kind = match function.moment {
            Moment::Entry => 'p',
            Moment::Return => 'r',
        };
        let offset = match function.offset {
            0 => String::new(),
            offset => format!("+{offset:#x}"),
        };
        format!("{kind}:{binary}:{}{offset}", function.name)
    };
    match target {
        Target::KernelFunction(of) => function("", of),
        Target::UserFunction {
            binary,
            function: of,
        } => function(binary, of),
        Target::Tracepoint(pattern) => format!("t:{pattern}"),
        Target::Usdt {
            binary,
            provider,
            probe,
        } => {
            let provider = provider.as_ref().map(|pattern| format!("{pattern}:"));
            format!("u:{binary}:{}{probe}", provider.unwrap_or_default())
        }
    }
}

fn assert_printable(text: &str) {
    let is_odd = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(is_odd), "{text:?}");
}

/// A pattern, a line end, and the name to hold against it.
pub(super) fn pattern(bytes: &[u8]) {
    on_text(bytes, |text| {
        let (text, name) = text.split_once('\n').unwrap_or((text, ""));
        let glob = Pattern::glob(text);
        assert_eq!(glob.to_string(), text);
        assert_eq!(
            glob.matches(name),
            matches_slowly(text.as_bytes(), name.as_bytes())
        );
        if let Ok(regex) = Pattern::regex(text) {
            assert_eq!(regex.to_string(), text);
            let _ = regex.matches(name);
        }
    });
}

/// What a glob means, in other words: which starts of `name` each start of `glob` matches.
fn matches_slowly(glob: &[u8], name: &[u8]) -> bool {
    let mut matched = vec![false; name.len() + 1];
    matched[0] = true;
    for &byte in glob {
        if byte == b'*' {
            let shortest = matched.iter().position(|&it| it);
            let from = shortest.unwrap_or(matched.len());
            matched[from..].fill(true);
        } else {
            for end in (1..matched.len()).rev() {
                matched[end] = matched[end - 1] && name[end - 1] == byte;
            }
            matched[0] = false;
        }
    }
    matched[name.len()]
}

/// A trace probe, a NUL, and an event's values.
pub(super) fn trace(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let text = parts.next().unwrap_or_default();
    let values = parts.next().unwrap_or_default();
    on_text(text, |text| match TraceSpec::parse(text) {
        Ok(spec) => {
            check_places(&spec);
            compile_everywhere(&spec, values);
        }
        Err(mistakes) => {
            assert_printable(&mistakes.to_string());
            let spans = mistakes.0.iter().map(|mistake| &mistake.snippet.span);
            assert!(
                spans.clone().all(|span| span.end <= text.len()),
                "{mistakes:?}"
            );
            assert!(spans.is_sorted_by_key(|span| span.start), "{mistakes:?}");
        }
    });
}

/// Each expression, taken out of the text by its place, is read as the same expression.
fn check_places(spec: &TraceSpec) {
    let arguments = spec.message.iter().flat_map(|message| &message.args);
    for expr in arguments.chain(&spec.predicate) {
        let written = format!("f ({})", expr.span.of(&spec.text));
        let again = TraceSpec::parse(&written).map(|spec| spec.predicate);
        let shape = again.map(|again| again.map(|again| without_places(&again.kind)));
        let expected = Some(without_places(&expr.kind));
        assert_eq!(shape.map_err(|error| error.to_string()), Ok(expected));
    }
}

fn without_places(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let mut parts = text.split("Span { start: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once('}').map_or("", |(_, rest)| rest)
    })
}

fn compile_everywhere(spec: &TraceSpec, values: &[u8]) {
    static EVERYWHERE: LazyLock<Everywhere> = LazyLock::new(Everywhere::new);
    let sources = Sources {
        kernel: Some(&EVERYWHERE.world),
        site: Some(&EVERYWHERE.world),
    };
    for (site, context) in &EVERYWHERE.sites {
        let options = Options {
            context: *context,
            text_bytes: Options::DEFAULT_TEXT_BYTES,
            pid_namespace: None,
        };
        match compile::compile(spec, site, sources, &options) {
            Ok(compiled) => {
                let entry = compiled.entry.iter().map(|entry| &entry.function);
                for function in entry.chain(&compiled.predicate).chain([&compiled.values]) {
                    check_instructions(function, &spec.text);
                }
                check_message(&compiled.layout, values);
            }
            Err(mistakes) => assert_printable(&mistakes.to_string()),
        }
    }
}

/// Jumps go forward and no further than the end, which is an exit; the stack is kept small.
fn check_instructions(function: &CompiledFn, text: &str) {
    let code = &function.instructions;
    assert_eq!(code.len(), function.spans.len());
    assert_eq!(code.last().map(|last| last.code), Some(0x95));
    assert!(function.stack_bytes <= 256);
    for (at, instruction) in code.iter().enumerate() {
        let is_jump = matches!(instruction.code & 7, 5 | 6);
        if is_jump && !matches!(instruction.code, 0x85 | 0x95) {
            let target = i64::from(instruction.off) + at as i64 + 1;
            assert!(target > at as i64 && target < code.len() as i64);
        }
    }
    assert_printable(&function.listing(text).to_string());
}

/// The message of made-up values has no more in it that a terminal obeys than the format has.
fn check_message(layout: &Layout, values: &[u8]) {
    struct NoNames;
    impl Names for NoNames {
        fn kernel(&self, address: u64) -> String {
            format!("{address:#x}")
        }
        fn user(&self, address: u64) -> String {
            self.kernel(address)
        }
    }
    let mut message = String::new();
    write_message(layout, values, &NoNames, &mut message);
    assert_printable(&message);
    for (index, slot) in layout.slots.iter().enumerate() {
        assert!(slot.offset + slot.kind.bytes() <= layout.bytes);
        let value = Value::of(layout, index, values);
        let is_text = matches!(slot.kind, SlotKind::Text { .. } | SlotKind::Comm);
        assert!(is_text || !matches!(value, Value::Text(_)));
    }
}

/// A probe of each kind, in a small kernel.
struct Everywhere {
    world: World,
    sites: Vec<(Site, Context)>,
}

impl Everywhere {
    fn new() -> Self {
        let (world, ids) = World::kernel();
        let known = world::function(
            &[
                ("t", ids.thing_pointer),
                ("n", ids.int(4, true)),
                ("b", ids.big),
                ("s", ids.char_pointer),
            ],
            ids.int(4, true),
        );
        let at_return = FunctionSite {
            at_return: true,
            ..known.clone()
        };
        let operands = [
            OperandPlace::Register(112),
            OperandPlace::Constant(-5),
            OperandPlace::Memory {
                base: 32,
                index: Some(80),
                scale: 4,
                displacement: -16,
            },
        ];
        let operands = operands.map(|place| (4, true, place));
        let unknown = world::unknown_function(Space::User, false);
        let sites = vec![
            (Site::Function(known), Context::PtRegs),
            (Site::Function(at_return), Context::Trampoline),
            (unknown, Context::PtRegs),
            (world::tracepoint(&ids, false), Context::Record),
            (world::usdt(&operands), Context::PtRegs),
        ];
        Self { world, sites }
    }
}
