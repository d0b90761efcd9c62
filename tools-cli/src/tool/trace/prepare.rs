//! From resolved probes to the functions that are generated for them.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use anyhow::{Context as _, anyhow};

use crate::{
    compile::{
        self, Compiled, Context, FunctionSite, Location, Operand, OperandPlace, Site, Sources,
        Space, TracepointSite, UsdtSite, Wrapper,
    },
    load::{Body, Functions},
    resolve::{
        AttachPoint, KernelPoint, Probe, TargetFile, Tracefs, TracepointPoint, UserPoint, elf,
    },
    spec::{Moment, TraceSpec},
    types::{self, Btf, Dwarf, FieldKind, Parameter, Prototype, RecordTypes, TypeSource},
};

/// What the probes of a run become.
#[derive(Default)]
pub(super) struct Prepared {
    /// The probes; one with arguments at different places is several.
    pub(super) probes: Vec<Probe>,
    /// What runs at each.
    pub(super) bodies: Vec<Body>,
    /// What is generated.
    pub(super) functions: Vec<Functions>,
}

/// What is generated alike for all probes of a run.
#[derive(Clone, Copy)]
pub(super) struct Common {
    /// The most bytes of a text that are read.
    pub(super) text_bytes: u32,
    /// In which PID namespace numbers are meant, if not in the initial one.
    pub(super) pid_namespace: Option<compile::PidNamespace>,
}

/// Compiles what each of `probes` is to tell.
///
/// # Errors
///
/// When a spec asks for what its probe does not have.
pub(super) fn prepare(
    probes: Vec<Probe>,
    specs: &[TraceSpec],
    common: Common,
) -> anyhow::Result<Prepared> {
    let mut preparer = Preparer {
        common,
        kernel: None,
        no_types: None,
        tracefs: None,
        modules: HashMap::new(),
        programs: HashMap::new(),
        prepared: Prepared::default(),
    };
    if needs_kernel_types(&probes, specs) {
        match Btf::of_kernel() {
            Ok(types) => preparer.kernel = Some(Arc::new(types)),
            Err(error) => preparer.no_types = Some(error),
        }
    }
    for probe in probes {
        let spec = specs.get(probe.spec).context("a probe of no spec")?;
        preparer.add(probe, spec)?;
    }
    Ok(preparer.prepared)
}

/// A program's functions can do without the kernel's types if nothing is named.
fn needs_kernel_types(probes: &[Probe], specs: &[TraceSpec]) -> bool {
    let is_of_kernel = |point: &AttachPoint| !matches!(point, AttachPoint::User(_));
    let mut points = probes.iter().flat_map(|probe| &probe.points);
    points.any(is_of_kernel) || specs.iter().any(TraceSpec::needs_types)
}

struct Preparer {
    common: Common,
    kernel: Option<Arc<Btf>>,
    /// Why they are not there, if they were asked for.
    no_types: Option<types::Error>,
    tracefs: Option<Tracefs>,
    modules: HashMap<String, Option<Arc<Btf>>>,
    programs: HashMap<PathBuf, Option<Arc<Dwarf>>>,
    prepared: Prepared,
}

/// What a place offers, and what describes its types.
struct Offer {
    site: Site,
    types: Option<Arc<dyn TypeSource>>,
    contexts: &'static [Context],
}

impl Preparer {
    fn add(&mut self, probe: Probe, spec: &TraceSpec) -> anyhow::Result<()> {
        let Probe {
            name,
            spec: number,
            points,
        } = probe;
        for points in by_operands(points) {
            let Some(first) = points.first() else {
                continue;
            };
            let offer = self.offer(first, spec)?;
            let functions = self.compile(spec, &offer)?;
            let needs_entry = functions
                .iter()
                .any(|(_, compiled)| compiled.entry.is_some());
            let function = self.number(functions);
            if needs_entry {
                // Right before it, because the programs find each other by that.
                self.prepared.bodies.push(Body::Entry(function));
                self.prepared.probes.push(Probe {
                    name: name.clone(),
                    spec: number,
                    points: points.iter().map(AttachPoint::at_entry).collect(),
                });
            }
            self.prepared.bodies.push(Body::Trace(function));
            self.prepared.probes.push(Probe {
                name: name.clone(),
                spec: number,
                points,
            });
        }
        Ok(())
    }

    /// The number of functions; equal ones are the same, so that one program serves many probes.
    fn number(&mut self, functions: Functions) -> usize {
        let all = &mut self.prepared.functions;
        let known = all.iter().position(|known| is_same(known, &functions));
        known.unwrap_or_else(|| {
            all.push(functions);
            all.len() - 1
        })
    }

    /// Compiles for each kind of program that the probe may become. That the first fails is the
    /// user's mistake; the others are not needed.
    fn compile(&self, spec: &TraceSpec, offer: &Offer) -> anyhow::Result<Functions> {
        let mut functions = Functions::new();
        for &context in offer.contexts {
            let options = compile::Options {
                context,
                text_bytes: self.common.text_bytes,
                pid_namespace: self.common.pid_namespace,
            };
            let sources = Sources {
                kernel: self
                    .kernel
                    .as_deref()
                    .map(|kernel| kernel as &dyn TypeSource),
                site: offer.types.as_deref(),
            };
            match compile::compile(spec, &offer.site, sources, &options) {
                // There, nothing tells which entry a return belongs to.
                Ok(compiled) if compiled.entry.is_some() && context == Context::Trampoline => {}
                Ok(compiled) => functions.push((context, compiled)),
                Err(mistakes) if functions.is_empty() => {
                    return Err(match &self.no_types {
                        Some(error) if spec.needs_types() => anyhow!("{mistakes}\nnote: {error}"),
                        _ => mistakes.into(),
                    });
                }
                Err(_) => {}
            }
        }
        Ok(functions)
    }

    fn offer(&mut self, point: &AttachPoint, spec: &TraceSpec) -> anyhow::Result<Offer> {
        match point {
            AttachPoint::Kernel(point) => self.kernel_function(point),
            AttachPoint::User(point) => Ok(self.user_place(point, spec)),
            AttachPoint::Tracepoint(point) => self.tracepoint(point),
        }
    }

    fn kernel_function(&mut self, point: &KernelPoint) -> anyhow::Result<Offer> {
        let syscall = Wrapper::of(&point.function);
        let (prototype, types) = match syscall {
            Some((_, name)) => self.syscall(name),
            None => self.kernel_prototype(point),
        };
        let contexts: &[Context] = match point.offset {
            0 => &[Context::PtRegs, Context::Trampoline],
            _ => &[Context::PtRegs],
        };
        Ok(Offer {
            site: Site::Function(FunctionSite {
                // In the middle of a function its arguments may be gone.
                prototype: prototype.filter(|_| point.offset == 0),
                at_return: point.moment == Moment::Return,
                space: Space::Kernel,
                wrapper: syscall.map(|(wrapper, _)| wrapper),
            }),
            types,
            contexts,
        })
    }

    fn kernel_prototype(
        &mut self,
        point: &KernelPoint,
    ) -> (Option<Prototype>, Option<Arc<dyn TypeSource>>) {
        let Some(kernel) = &self.kernel else {
            return (None, None);
        };
        let types = match &point.module {
            Some(module) => {
                let open = || {
                    Btf::of_module(module, Arc::clone(kernel))
                        .ok()
                        .map(Arc::new)
                };
                let known = self.modules.entry(module.clone());
                known.or_insert_with(open).clone()
            }
            None => Some(Arc::clone(kernel)),
        };
        let Some(types) = types else {
            return (None, None);
        };
        let prototype = types.prototype(&point.function).ok().flatten();
        (prototype, Some(types))
    }

    /// What a system call takes, from the record of its tracepoint: its own function is mostly
    /// inlined into the wrapper, and not described.
    fn syscall(&mut self, name: &str) -> (Option<Prototype>, Option<Arc<dyn TypeSource>>) {
        let Ok(types) = self.record("syscalls", &format!("sys_enter_{name}")) else {
            let kernel = self.kernel.clone();
            return (None, kernel.map(|kernel| kernel as Arc<dyn TypeSource>));
        };
        let long = types.find(types::Keyword::None, "long").ok().flatten();
        let fields = types.format().fields.iter().enumerate();
        let arguments = fields.filter(|(_, field)| is_syscall_argument(field));
        let parameters = arguments.map(|(index, field)| Parameter {
            name: Some(field.name.clone()),
            type_id: types.argument_type(index),
        });
        let prototype = long.map(|returns| Prototype {
            parameters: parameters.collect(),
            returns,
            is_variadic: false,
        });
        (prototype, Some(types))
    }

    fn user_place(&mut self, point: &UserPoint, spec: &TraceSpec) -> Offer {
        let mut types = None;
        let site = if point.operands.is_empty() {
            let program = match spec.needs_types() {
                true => self.program(&point.file),
                false => None,
            };
            // In the middle of a function its arguments may be gone.
            let is_known = point.is_function_start || point.moment == Moment::Return;
            let prototype = program
                .as_deref()
                .filter(|_| is_known)
                .and_then(|program| program.prototype_of(point.offset).ok().flatten());
            types = program.map(|program| program as Arc<dyn TypeSource>);
            Site::Function(FunctionSite {
                prototype,
                at_return: point.moment == Moment::Return,
                space: Space::User,
                wrapper: None,
            })
        } else {
            let operands = point.operands.iter().map(operand);
            Site::Usdt(UsdtSite {
                operands: operands.collect(),
            })
        };
        Offer {
            site,
            types,
            contexts: &[Context::PtRegs],
        }
    }

    /// The DWARF of a program or library, if it has any that can be used.
    fn program(&mut self, file: &TargetFile) -> Option<Arc<Dwarf>> {
        let known = self.programs.entry(file.path.clone());
        known
            .or_insert_with(|| Dwarf::of_file(file).map(Arc::new))
            .clone()
    }

    fn tracepoint(&mut self, point: &TracepointPoint) -> anyhow::Result<Offer> {
        let types = self.record(&point.category, &point.event)?;
        let is_syscall = point.category == "syscalls";
        let fields = types.format().fields.iter().enumerate();
        let fields = fields.map(|(index, field)| compile::Field {
            name: field.name.clone(),
            type_id: match is_syscall && is_syscall_argument(field) {
                true => types.argument_type(index),
                false => types.field_type(index),
            },
            offset_bytes: field.offset_bytes,
            bytes: field.size_bytes,
            is_signed: matches!(
                field.kind,
                FieldKind::Integer {
                    is_signed: true,
                    ..
                }
            ),
            location: match field.kind {
                FieldKind::DataLoc {
                    is_relative: true, ..
                } => Location::Behind,
                FieldKind::DataLoc { .. } => Location::Elsewhere,
                _ => Location::Here,
            },
        });
        Ok(Offer {
            site: Site::Tracepoint(TracepointSite {
                fields: fields.collect(),
                is_syscall,
            }),
            types: Some(types),
            contexts: &[Context::Record],
        })
    }

    fn record(&mut self, category: &str, event: &str) -> anyhow::Result<Arc<RecordTypes>> {
        if self.tracefs.is_none() {
            self.tracefs = Some(Tracefs::open()?);
        }
        let tracefs = self.tracefs.as_ref().context("tracefs was opened")?;
        let format = tracefs.format(category, event)?;
        Ok(Arc::new(RecordTypes::new(format, self.kernel.clone())))
    }
}

/// The first fields of all records, and the number of the call, are no arguments.
fn is_syscall_argument(field: &types::Field) -> bool {
    const NUMBER: &str = "__syscall_nr";
    !field.name.starts_with("common_") && field.name != NUMBER
}

/// An operand as the compiler takes it.
fn operand(operand: &elf::Operand) -> Operand {
    let offset = |register: elf::Register| u32::from(register.pt_regs_offset_bytes);
    let unsupported = |reason: &str| OperandPlace::Unsupported(reason.to_owned());
    let place = match &operand.place {
        elf::Place::Register {
            register,
            shift_bits,
        } => OperandPlace::Register(offset(*register) + u32::from(shift_bits / 8)),
        elf::Place::Memory(memory) => match (memory.base, memory.index) {
            (Some(base), index) => OperandPlace::Memory {
                base: offset(base),
                index: index.map(|(register, _)| offset(register)),
                scale: index.map_or(1, |(_, scale)| scale),
                displacement: memory.displacement_bytes,
            },
            (None, _) => unsupported("its place is given by no register"),
        },
        elf::Place::Constant(value) => OperandPlace::Constant(*value),
        elf::Place::Unsupported(reason) => unsupported(reason),
    };
    Operand {
        bytes: u8::try_from(operand.bytes).unwrap_or(8),
        is_signed: operand.is_signed,
        place,
    }
}

/// The points, apart where their arguments are at different places.
fn by_operands(points: Vec<AttachPoint>) -> Vec<Vec<AttachPoint>> {
    let operands = |point: &AttachPoint| match point {
        AttachPoint::User(point) => point.operands.clone(),
        _ => Vec::new(),
    };
    let mut groups: Vec<Vec<AttachPoint>> = Vec::new();
    for point in points {
        let like = |group: &&mut Vec<AttachPoint>| {
            group
                .first()
                .is_some_and(|first| operands(first) == operands(&point))
        };
        match groups.iter_mut().find(like) {
            Some(group) => group.push(point),
            None => groups.push(vec![point]),
        }
    }
    groups
}

fn is_same(left: &Functions, right: &Functions) -> bool {
    let is_equal = |left: &Compiled, right: &Compiled| {
        let predicate = |it: &Compiled| it.predicate.as_ref().map(compile::CompiledFn::bytes);
        let entry = |it: &Compiled| it.entry.as_ref().map(|entry| entry.function.bytes());
        left.layout == right.layout
            && left.values.bytes() == right.values.bytes()
            && predicate(left) == predicate(right)
            && entry(left) == entry(right)
    };
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(left, right)| left.0 == right.0 && is_equal(&left.1, &right.1))
}
