//! What is written of events.

use anyhow::Context as _;

use super::Options;
use crate::{
    collect::{Code, Event, Events, Location, Processes},
    compile::{Layout, Piece, Slot},
    kernel::clock,
    load::{Body, Functions},
    render::{
        Clocks, Columns, CommandName, EventCounts, EventLine, FunctionName, NamedValue, Names,
        Value, write_message,
    },
    spec::format::Form,
    symbolize::{self, Frame, Symbol, Symbolizer},
    tool::{Console, UNWRITTEN, session::Session},
};

/// Bytes of lines that are written at a time.
const WRITE_BYTES: usize = 1 << 16;

/// Writes events as they come.
pub(super) struct Report<'a> {
    options: &'a Options,
    /// How the values of each probe lie.
    layouts: Vec<Layout>,
    namer: Namer,
    shown: u64,
    /// What each probe is called.
    functions: Vec<FunctionName>,
    columns: Columns,
    clocks: Clocks,
    /// What equal events are counted in, if they are.
    counts: EventCounts,
    /// The message of one event.
    line: String,
    /// What is to be written.
    lines: String,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        options: &'a Options,
        bodies: &[Body],
        functions: &[Functions],
        processes: Option<Processes>,
    ) -> Self {
        let layout = |body: &Body| match body {
            Body::Trace(number) => {
                let first = functions
                    .get(*number)
                    .and_then(|functions| functions.first());
                first
                    .map(|(_, compiled)| compiled.layout.clone())
                    .unwrap_or_default()
            }
            _ => Layout::default(),
        };
        Self {
            options,
            layouts: bodies.iter().map(layout).collect(),
            namer: Namer::new(processes),
            shown: 0,
            functions: Vec::new(),
            columns: Columns::default(),
            clocks: Clocks {
                start_ns: clock::monotonic_ns(),
                to_unix_ns: clock::monotonic_to_unix_ns(),
            },
            counts: EventCounts::default(),
            line: String::new(),
            lines: String::new(),
        }
    }

    /// Events written so far.
    pub(super) const fn shown(&self) -> u64 {
        self.shown
    }

    /// Whether there are as many as were asked for.
    pub(super) fn is_done(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.shown >= limit)
    }

    /// Writes the header, once the probes are live.
    pub(super) fn begin(
        &mut self,
        session: &Session,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        console.detail(format_args!(
            "Tracing {} probes... Hit Ctrl-C to end.",
            session.live_count()
        ));
        let names = session.probes().iter().map(|probe| probe_name(&probe.name));
        self.functions = names.map(FunctionName::new).collect();
        let has_messages = self.layouts.iter().any(|layout| !layout.pieces.is_empty());
        self.options
            .table
            .write_header(console.results, has_messages)
            .and_then(|()| console.results.flush())
            .context(UNWRITTEN)
    }

    /// Writes the events that have come since.
    pub(super) fn write(
        &mut self,
        events: &mut Events,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        self.write_all(events.take(), console)?;
        if !events.is_waiting() {
            self.namer.settle();
        }
        Ok(())
    }

    /// Writes what there is at the end, and not what goes on to come.
    pub(super) fn write_rest(
        &mut self,
        events: &mut Events,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        self.write_all(events.take_rest(), console)
    }

    /// Writes what is only known at the end: how often each event was seen if they are counted, and how
    /// many were `lost`. Tells why functions of the kernel have no names, if they could have some.
    pub(super) fn end(&mut self, lost: u64, console: &mut Console<'_>) -> anyhow::Result<()> {
        match self.options.table.json {
            true => self.counts.write_json(&mut self.lines),
            false => self.counts.write(&mut self.lines),
        }
        // People are told elsewhere.
        if self.options.table.json && lost > 0 {
            self.lines.push_str(&format!("{{\"lost\":{lost}}}\n"));
        }
        self.flush(console)?;
        for note in self.namer.notes() {
            console.say(note);
        }
        Ok(())
    }

    fn write_all<'b>(
        &mut self,
        events: impl Iterator<Item = Event<'b>>,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        // They may have been set, or have stood still while the system slept.
        self.clocks.to_unix_ns = clock::monotonic_to_unix_ns();
        self.namer.update();
        for event in events {
            if self.is_done() {
                break;
            }
            self.add(&event);
            if self.lines.len() >= WRITE_BYTES {
                self.flush(console)?;
            }
        }
        self.flush(console)
    }

    fn flush(&mut self, console: &mut Console<'_>) -> anyhow::Result<()> {
        let written = console.results.write_all(self.lines.as_bytes());
        self.lines.clear();
        written
            .and_then(|()| console.results.flush())
            .context(UNWRITTEN)
    }

    /// Adds an event's lines to those that are to be written.
    fn add(&mut self, event: &Event<'_>) {
        let index = event.probe as usize;
        let (Some(function), Some(layout)) = (self.functions.get(index), self.layouts.get(index))
        else {
            return;
        };
        let starts = (layout.bytes as usize, self.options.user_start(layout));
        let names = self.namer.look_at(event, layout, starts);
        self.line.clear();
        write_message(layout, event.rest, &names, &mut self.line);
        if let Some(text) = &self.options.text
            && !self.line.contains(text.as_str())
        {
            return;
        }
        let value = |(index, slot)| {
            let slot: &Slot = slot;
            NamedValue {
                name: &slot.name,
                value: Value::of(layout, index, event.rest),
                is_signed: layout.is_signed(index),
            }
        };
        let values = match self.options.table.json {
            true => layout.slots.iter().enumerate().map(value).collect(),
            false => Vec::new(),
        };
        let line = EventLine {
            time_ns: event.time_ns,
            cpu: event.cpu,
            pid: event.pid,
            tid: event.tid,
            comm: CommandName(event.comm),
            function,
            message: &self.line,
            values,
            kernel_stack: &names.kernel_stack,
            user_stack: &names.user_stack,
        };
        let table = &self.options.table;
        table.write(&mut self.lines, &mut self.columns, self.clocks, line);
        self.shown += 1;
        if table.aggregated {
            self.counts.add(&self.lines);
            self.lines.clear();
        }
    }
}

/// Of a tracepoint, the event.
fn probe_name(name: &str) -> &str {
    match name.split_once(':') {
        Some((_, event)) if !event.starts_with(':') => event,
        _ => name,
    }
}

impl Options {
    /// Where the program's part of the stack lies behind the values.
    fn user_start(&self, layout: &Layout) -> usize {
        let kernel_bytes = if self.kernel_stack {
            super::DEPTH * 8
        } else {
            0
        };
        (layout.bytes + kernel_bytes) as usize
    }
}

/// Finds names for addresses.
struct Namer {
    symbolizer: Symbolizer,
    processes: Option<Processes>,
    code: Code,
}

/// The names of the addresses of an event.
#[derive(Default)]
struct EventNames {
    kernel: Vec<(u64, Symbol)>,
    user: Vec<(u64, Symbol)>,
    kernel_stack: Vec<(u64, Symbol)>,
    user_stack: Vec<(u64, Symbol)>,
}

impl Namer {
    fn new(processes: Option<Processes>) -> Self {
        let options = symbolize::Options {
            demangle: true,
            inlined: false,
        };
        Self {
            symbolizer: Symbolizer::new(options),
            processes,
            code: Code::default(),
        }
    }

    /// What is to be said of names that could not be had.
    fn notes(&self) -> impl Iterator<Item = &'static str> {
        [self.symbolizer.hidden_kernel(), self.code.unopened()]
            .into_iter()
            .flatten()
    }

    /// Takes in what processes have mapped, once the events to be named have been read.
    fn update(&mut self) {
        if let Some(processes) = &mut self.processes {
            processes.update();
        }
    }

    /// Forgets processes whose events are all written.
    fn settle(&mut self) {
        if let Some(processes) = &mut self.processes {
            let gone = self.code.forget(processes.forget_exited());
            self.symbolizer.forget(&gone);
        }
    }

    /// Names what the message and the stacks of an event refer to.
    fn look_at(
        &mut self,
        event: &Event<'_>,
        layout: &Layout,
        starts: (usize, usize),
    ) -> EventNames {
        let mut names = EventNames::default();
        for piece in &layout.pieces {
            let Piece::Value { slot, conversion } = piece else {
                continue;
            };
            let Value::Integer(address) = Value::of(layout, *slot, event.rest) else {
                continue;
            };
            let address = address.cast_unsigned();
            match conversion.form {
                Form::KernelSymbol => names.kernel.extend(self.kernel([address].into_iter())),
                Form::UserSymbol => names.user.extend(self.user(event, [address].into_iter())),
                _ => {}
            }
        }
        names.kernel_stack = self.kernel(event.kernel_frames(starts.0));
        let ours = symbolize::count_ours(names.kernel_stack.iter().map(|(_, symbol)| symbol));
        names.kernel_stack.drain(..ours);
        names.user_stack = self.user(event, event.user_frames(starts.1));
        names
    }

    fn kernel(&mut self, addresses: impl Iterator<Item = u64>) -> Vec<(u64, Symbol)> {
        let located = addresses.map(|address| (address, Location::Kernel(address)));
        self.name(located.collect())
    }

    fn user(
        &mut self,
        event: &Event<'_>,
        addresses: impl Iterator<Item = u64>,
    ) -> Vec<(u64, Symbol)> {
        let Some(processes) = &mut self.processes else {
            return Vec::new();
        };
        let code = &mut self.code;
        let located = addresses.map(|address| {
            let location = processes.locate(event.pid, address, event.time_ns, code);
            (address, location)
        });
        let located = located.collect();
        self.name(located)
    }

    fn name(&mut self, located: Vec<(u64, Location)>) -> Vec<(u64, Symbol)> {
        let frames = located
            .iter()
            .enumerate()
            .map(|(depth, (_, location))| Frame {
                location: *location,
                is_return: depth > 0,
            });
        let frames: Vec<Frame> = frames.collect();
        if frames.is_empty() {
            return Vec::new();
        }
        self.symbolizer.find(frames.iter().copied(), &self.code);
        let named = located
            .iter()
            .zip(&frames)
            .flat_map(|((address, _), frame)| {
                let symbols = self.symbolizer.names(frame).iter();
                symbols.map(|symbol| (*address, symbol.clone()))
            });
        named.collect()
    }
}

impl Names for EventNames {
    fn kernel(&self, address: u64) -> String {
        find(&self.kernel, address)
    }

    fn user(&self, address: u64) -> String {
        find(&self.user, address)
    }
}

fn find(names: &[(u64, Symbol)], address: u64) -> String {
    let found = names.iter().find(|(named, _)| *named == address);
    found.map_or_else(|| format!("{address:#x}"), |(_, symbol)| symbol.to_string())
}
