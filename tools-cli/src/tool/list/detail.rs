//! What listed probes tell: parameters, fields, operands.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::PathBuf,
    sync::Arc,
};

use super::structure;
use crate::{
    render::{Detail, ListedProbe, ProbeKind, Typed, UsdtArgument, UsdtLocation},
    resolve::{AttachPoint, KernelPoint, Tracefs, UserPoint},
    types::{Btf, Dwarf, Field, FieldKind, TypeSource as _},
};

/// How the wrappers of system calls are called on this CPU; they take the registers of the call.
const SYSCALL_WRAPPER: &str = "__x64_sys_";

/// Where details are from; each is opened when it is first asked.
#[derive(Default)]
pub(super) struct Details {
    kernel: Option<Option<KernelTypes>>,
    tracefs: Option<Option<Tracefs>>,
    programs: HashMap<PathBuf, Option<Dwarf>>,
    /// What could not be told, and why.
    pub(super) notes: Vec<String>,
}

/// The types of the kernel and of its modules.
struct KernelTypes {
    kernel: Functions,
    modules: HashMap<String, Option<Functions>>,
}

/// Types, and the numbers of functions in them.
struct Functions {
    types: Arc<Btf>,
    by_name: HashMap<String, Vec<u32>>,
}

impl Details {
    /// What the probe at `points` tells; nothing if that is not known.
    pub(super) fn of(&mut self, probe: &ListedProbe, points: &[AttachPoint]) -> Option<Detail> {
        if probe.kind == ProbeKind::Structure {
            return self.structure(&probe.spec);
        }
        match points.first()? {
            AttachPoint::Kernel(point) => self.kernel_function(point),
            AttachPoint::Tracepoint(point) => {
                let fields = self.fields(&point.category, &point.event)?;
                Some(Detail::Record { fields })
            }
            AttachPoint::User(_) if probe.kind == ProbeKind::Usdt => Some(usdt(points)),
            AttachPoint::User(point) => self.user_function(&probe.name, point),
        }
    }

    fn kernel_function(&mut self, point: &KernelPoint) -> Option<Detail> {
        if let Some(syscall) = point.function.strip_prefix(SYSCALL_WRAPPER)
            && let Some(detail) = self.syscall(&point.function, syscall)
        {
            return Some(detail);
        }
        let notes = &mut self.notes;
        let kernel = self.kernel.get_or_insert_with(|| KernelTypes::open(notes));
        let functions = kernel.as_mut()?.of(point.module.as_deref())?;
        functions.detail(&point.function)
    }

    /// The members of a structure, as `struct file` names it.
    fn structure(&mut self, text: &str) -> Option<Detail> {
        let (word, name) = text.split_once(' ')?;
        let notes = &mut self.notes;
        let kernel = self.kernel.get_or_insert_with(|| KernelTypes::open(notes));
        let types = &kernel.as_ref()?.kernel.types;
        let id = types.find(structure::keyword(word)?, name).ok().flatten()?;
        let members = types.members(id).ok()?;
        Some(Detail::Record {
            fields: members.into_iter().map(Typed::from).collect(),
        })
    }

    /// What a system call takes, from the record of its tracepoint, as trace knows it: its wrapper
    /// takes the registers of the call.
    fn syscall(&mut self, wrapper: &str, name: &str) -> Option<Detail> {
        const NUMBER: &str = "__syscall_nr";
        let mut parameters = self.fields("syscalls", &format!("sys_enter_{name}"))?;
        parameters.retain(|field| field.name.as_deref() != Some(NUMBER));
        let texts: Vec<&str> = parameters.iter().map(|field| &*field.text).collect();
        Some(Detail::Function {
            declaration: format!("long {wrapper}({})", texts.join(", ")),
            returns: "long".to_owned(),
            variadic: false,
            parameters,
        })
    }

    /// The fields of a tracepoint, without those that all have.
    fn fields(&mut self, category: &str, event: &str) -> Option<Vec<Typed>> {
        let tracefs = self.tracefs.get_or_insert_with(|| Tracefs::open().ok());
        let format = tracefs.as_ref()?.format(category, event).ok()?;
        let fields = format.fields.iter();
        let own = fields.filter(|field| !field.name.starts_with("common_"));
        Some(own.map(typed).collect())
    }

    fn user_function(&mut self, name: &str, point: &UserPoint) -> Option<Detail> {
        let program = match self.programs.entry(point.file.path.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let program = Dwarf::of_file(&point.file);
                if program.is_none() {
                    self.notes.push(format!(
                        "parameters in {} are unknown: it has no DWARF, nor has a debug file",
                        point.file.shown.display()
                    ));
                }
                new.insert(program)
            }
        };
        let declaration = program.as_ref()?.declaration_of(point.offset);
        let declaration = declaration.ok().flatten()?;
        // A demangled name has its parameters already.
        let name = name.split('(').next().unwrap_or(name);
        Some(Detail::of_function(name, declaration))
    }
}

impl KernelTypes {
    fn open(notes: &mut Vec<String>) -> Option<Self> {
        match Btf::of_kernel() {
            Ok(types) => Some(Self {
                kernel: Functions::new(types),
                modules: HashMap::new(),
            }),
            Err(error) => {
                notes.push(format!(
                    "parameters of kernel functions are unknown: {error}"
                ));
                None
            }
        }
    }

    fn of(&mut self, module: Option<&str>) -> Option<&Functions> {
        let Some(module) = module else {
            return Some(&self.kernel);
        };
        let kernel = &self.kernel.types;
        let open = || {
            let types = Btf::of_module(module, Arc::clone(kernel)).ok()?;
            Some(Functions::new(types))
        };
        let known = self.modules.entry(module.to_owned());
        known.or_insert_with(open).as_ref()
    }
}

impl Functions {
    fn new(types: Btf) -> Self {
        let mut by_name: HashMap<String, Vec<u32>> = HashMap::new();
        for (name, id) in types.functions() {
            by_name.entry(name.to_owned()).or_default().push(id);
        }
        Self {
            types: Arc::new(types),
            by_name,
        }
    }

    /// Nothing also where functions of one name differ: it can't be told which of them is meant.
    fn detail(&self, name: &str) -> Option<Detail> {
        let ids = self.by_name.get(name)?.iter();
        let mut declarations = ids.map(|&id| self.types.declaration(id).ok());
        let first = declarations.next()??;
        let is_same = |other: Option<_>| other.as_ref() == Some(&first);
        declarations
            .all(is_same)
            .then(|| Detail::of_function(name, first.clone()))
    }
}

/// A field as C would declare it; what lies elsewhere in the record is an array without a length.
fn typed(field: &Field) -> Typed {
    let brackets = match field.kind {
        FieldKind::Array { count: 0, .. } | FieldKind::DataLoc { .. } => "[]".to_owned(),
        FieldKind::Array { count, .. } => format!("[{count}]"),
        _ => String::new(),
    };
    // As the kernel's source has it: `const char *` or `const char * `.
    let type_name = field.type_name.trim();
    let space = if type_name.ends_with('*') { "" } else { " " };
    Typed {
        name: Some(field.name.clone()),
        text: format!("{type_name}{space}{}{brackets}", field.name),
        type_name: format!("{type_name}{brackets}"),
    }
}

fn usdt(points: &[AttachPoint]) -> Detail {
    let mut locations: Vec<UsdtLocation> = Vec::new();
    for point in points {
        let AttachPoint::User(point) = point else {
            continue;
        };
        let arguments = point.operands.iter().map(|operand| UsdtArgument {
            bytes: operand.bytes,
            signed: operand.is_signed,
            place: operand.place.clone(),
        });
        let arguments: Vec<_> = arguments.collect();
        let semaphore = point.semaphore.map(|semaphore| semaphore.0);
        let like = |known: &&mut UsdtLocation| {
            known.arguments == arguments && known.semaphore == semaphore
        };
        match locations.iter_mut().find(like) {
            Some(known) => known.offsets.push(point.offset.0),
            None => locations.push(UsdtLocation {
                offsets: vec![point.offset.0],
                semaphore,
                arguments,
            }),
        }
    }
    Detail::Usdt { locations }
}
