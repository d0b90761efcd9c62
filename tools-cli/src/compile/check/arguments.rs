//! Arguments and results: where the event has them.

use std::rc::Rc;

use super::{At, Checker, Place, Problem, Reported, Term, Value, int_value};
use crate::{
    compile::{
        abi::{self, Class, Kind, Passed, class_of},
        ir::{Arithmetic, Node},
        site::{Context, FunctionSite, Operand, OperandPlace, Site, Space, Wrapper},
        ty::{IntTy, Origin, Sources, Ty},
    },
    spec::expr::{Signature, Span},
    types::{self, Prototype, TypeId},
};

/// What is known of the event's arguments.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Known {
    /// The parameters, in order; none if nothing is known.
    pub(in super::super) parameters: Vec<Parameter>,
    /// Whether there may be more arguments than those.
    pub(in super::super) is_open: bool,
    /// Whether the user has given the parameters.
    has_signature: bool,
    /// What the function returns, if known.
    pub(in super::super) returns: Option<Ty>,
    /// Which wrapper's arguments they are, if they are a system call's, in memory.
    wrapper: Option<Wrapper>,
    /// For each 8 bytes of arguments in a trampoline's context, whether they are a number.
    trampoline: Vec<bool>,
}

/// A parameter of the function or probe.
#[derive(Clone, Debug)]
pub(in super::super) struct Parameter {
    pub(in super::super) name: Option<String>,
    pub(in super::super) ty: Ty,
    /// Its registers, or its place on the stack.
    passed: Vec<Passed>,
    /// Whether it is its address that is there.
    is_by_reference: bool,
    /// Why it is not known where it is, if it is not.
    unclear: Option<String>,
    /// Which of the 8 bytes of a trampoline's context it begins at.
    trampoline_slot: u32,
}

impl Known {
    /// What site and signature tell.
    pub(in super::super) fn new(
        site: &Site,
        signature: Option<(&Signature, &[Ty])>,
        sources: Sources<'_>,
    ) -> Result<Self, types::Error> {
        let (prototype, wrapper) = match site {
            Site::Function(function) => (function.prototype.as_ref(), function.wrapper),
            Site::Tracepoint(_) | Site::Usdt(_) => (None, None),
        };
        let typed = typed(signature, prototype);
        // A signature may end early.
        let mut is_open = typed.is_none()
            || signature.is_some()
            || prototype.is_some_and(|prototype| prototype.is_variadic);
        let typed = typed.unwrap_or_default();
        let returns = prototype.map(|prototype| of_site(prototype.returns));
        // `__x64_sys_read(struct pt_regs *regs)` is the wrapper itself, not the system call.
        let is_wrapper_itself = takes_registers(&typed, sources)?;
        let (parameters, slots) = passed(typed, returns.as_ref(), sources)?;
        is_open |= parameters.iter().any(|given| given.unclear.is_some());
        let trampoline = match prototype {
            // It takes the registers, whatever the system call takes.
            _ if wrapper.is_some() => vec![false],
            // The signature may leave some out.
            Some(prototype) => trampoline_words(prototype, sources)?,
            None => vec![false; slots as usize],
        };
        Ok(Self {
            parameters,
            is_open,
            has_signature: signature.is_some(),
            returns,
            wrapper: wrapper.filter(|_| !is_wrapper_itself),
            trampoline,
        })
    }
}

/// A parameter before it is known how it is passed: its name and its type.
type Typed = (Option<String>, Ty);

const fn of_site(id: TypeId) -> Ty {
    Ty::Named(Origin::Site, id)
}

/// The parameters as the signature has them, or else the prototype; `None` if nothing is known.
fn typed(
    signature: Option<(&Signature, &[Ty])>,
    prototype: Option<&Prototype>,
) -> Option<Vec<Typed>> {
    if let Some((signature, types)) = signature {
        let names = signature.parameters.iter().map(|parameter| {
            let name = parameter.name.as_ref();
            name.map(|name| name.text.clone())
        });
        return Some(names.zip(types.iter().cloned()).collect());
    }
    let parameters = prototype?.parameters.iter();
    let typed = parameters.map(|given| (given.name.clone(), of_site(given.type_id)));
    Some(typed.collect())
}

/// Whether a `struct pt_regs *` is all that is taken.
fn takes_registers(typed: &[Typed], sources: Sources<'_>) -> Result<bool, types::Error> {
    let [(_, Ty::Pointer { target, .. })] = typed else {
        return Ok(false);
    };
    let target = sources.open(target)?;
    let name = match &target {
        Ty::Composite(composite, _) => composite.name.as_deref(),
        _ => None,
    };
    Ok(name == Some("pt_regs"))
}

/// The parameters with how they are passed; and how many 8 bytes they take in a trampoline's context.
fn passed(
    typed: Vec<Typed>,
    returns: Option<&Ty>,
    sources: Sources<'_>,
) -> Result<(Vec<Parameter>, u32), types::Error> {
    let classes = typed.iter().map(|(_, ty)| class_of(ty, sources));
    let classes = classes.collect::<Result<Vec<_>, _>>()?;
    let returns = match returns {
        Some(ty) if sources.open(ty)? != Ty::Void => Some(class_of(ty, sources)?),
        _ => None,
    };
    let passed = abi::pass(&classes, returns.as_ref());
    let mut slots = 0_u32;
    let mut parameters: Vec<Parameter> = Vec::with_capacity(typed.len());
    for (((name, ty), passed), class) in typed.into_iter().zip(passed).zip(&classes) {
        let unclear = match passed {
            Some(_) => None,
            None if *class == Class::Unknown => {
                let described = sources.describe(&ty);
                Some(format!("how {described} is passed is not known"))
            }
            None => {
                let before = classes.iter().zip(&parameters);
                Some(unclear_behind(before, sources))
            }
        };
        parameters.push(Parameter {
            name,
            ty,
            passed: passed.unwrap_or_default(),
            is_by_reference: *class == Class::Reference,
            unclear,
            trampoline_slot: slots,
        });
        slots = slots.saturating_add(class.words());
    }
    Ok((parameters, slots))
}

/// Why it is not known where the parameter behind those of these classes is.
fn unclear_behind<'a>(
    mut before: impl Iterator<Item = (&'a Class, &'a Parameter)>,
    sources: Sources<'_>,
) -> String {
    let culprit = before.find(|(class, _)| matches!(class, Class::Unknown | Class::WideVector));
    match culprit {
        Some((_, Parameter { name, ty, .. })) => {
            let name = name.as_deref().unwrap_or("a parameter");
            let described = sources.describe(ty);
            format!("it comes after `{name}`, and how {described} is passed is not known")
        }
        None => "how the function's result is returned is not known".to_owned(),
    }
}

/// For each 8 bytes of a function's arguments in a trampoline's context, whether they are a number.
fn trampoline_words(
    prototype: &Prototype,
    sources: Sources<'_>,
) -> Result<Vec<bool>, types::Error> {
    let mut are_numbers = Vec::new();
    for given in &prototype.parameters {
        let ty = sources.open(&of_site(given.type_id))?;
        let words = class_of(&ty, sources)?.words();
        let is_number = ty.as_int().is_some();
        are_numbers.extend((0..words).map(|_| is_number));
    }
    Ok(are_numbers)
}

impl Checker<'_> {
    /// `argN`.
    pub(super) fn argument(&mut self, number: u32, span: Span) -> Result<Value, Reported> {
        let written = format!("arg{number}");
        match self.site {
            Site::Tracepoint(_) => {
                let reason = "a tracepoint has fields";
                Err(self.not_available(&written, reason, span, "write `args->field`"))
            }
            Site::Usdt(usdt) => match usdt.operands.get(number as usize - 1) {
                Some(operand) => self.operand(operand, &written, span),
                None => {
                    let note = self.arguments_there_are(usdt.operands.len());
                    Err(self.not_available(&written, "the probe does not have it", span, note))
                }
            },
            Site::Function(function) => {
                self.is_at_entry(function, &written, span)?;
                self.function_argument(function, number as usize - 1, &written, span)
            }
        }
    }

    fn function_argument(
        &mut self,
        function: &FunctionSite,
        index: usize,
        written: &str,
        span: Span,
    ) -> Result<Value, Reported> {
        let passed = Passed::Register(index);
        let parameters = &self.known.parameters;
        let known = parameters.iter().find(|known| known.passed == [passed]);
        // Of a structure, the register is told as it is.
        if let Some(parameter) = known.cloned()
            && let Term::Value(value) = self.parameter(&parameter, function, span)?
        {
            let word = self.argument_word(function, passed, parameter.trampoline_slot, span);
            let is_told = self.known.has_signature || function.space == Space::Kernel;
            return Ok(register(word, value, is_told));
        }
        let (in_registers, is_open) = (self.known.in_registers(), self.known.is_open);
        if index >= abi::FUNCTION_ARGUMENTS.len() {
            let reason = "only six arguments are in registers";
            let note = self.arguments_there_are(if is_open { 6 } else { in_registers });
            return Err(self.not_available(written, reason, span, note));
        }
        if !is_open && index >= in_registers {
            let note = self.arguments_there_are(in_registers);
            let reason = "the function does not have it";
            return Err(self.not_available(written, reason, span, note));
        }
        let slot = u32::try_from(index).unwrap_or(u32::MAX);
        if self.context == Context::Trampoline
            && self.known.wrapper.is_none()
            && index >= self.known.trampoline.len()
        {
            let note = self.arguments_there_are(self.known.trampoline.len());
            let reason = "the function does not have it";
            return Err(self.not_available(written, reason, span, note));
        }
        let node = self.argument_word(function, passed, slot, span);
        let value = int_value(node, IntTy::UNKNOWN);
        let space = self.known.wrapper.is_some().then_some(Space::User);
        Ok(Value { space, ..value })
    }

    fn arguments_there_are(&self, count: usize) -> String {
        match count {
            0 => "there are no arguments".to_owned(),
            1 => "there is arg1".to_owned(),
            last => format!("there are arg1 to arg{last}"),
        }
    }

    pub(super) fn not_available(
        &mut self,
        name: &str,
        reason: &str,
        span: Span,
        note: impl Into<String>,
    ) -> Reported {
        let problem = Problem::NotAvailable {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        self.report(problem, span, note)
    }

    fn is_at_entry(
        &mut self,
        function: &FunctionSite,
        written: &str,
        span: Span,
    ) -> Result<(), Reported> {
        if !function.at_return || self.is_in_entry {
            return Ok(());
        }
        let reason = "the function has returned, and its arguments are gone";
        let note = format!("write `$entry({written})` for its value at the function's entry");
        Err(self.not_available(written, reason, span, note))
    }

    /// The 8 bytes in which an argument is.
    fn argument_word(
        &mut self,
        function: &FunctionSite,
        passed: Passed,
        slot: u32,
        span: Span,
    ) -> Node {
        let is_trampoline = self.context == Context::Trampoline;
        let word = |offset| Node::context(offset, 8, span);
        if let Some(wrapper) = self.known.wrapper {
            let registers = if is_trampoline {
                self.trampoline_word(0, false, span)
            } else {
                word(abi::FUNCTION_ARGUMENTS[0])
            };
            let index = match passed {
                Passed::Register(index) => index,
                Passed::Stack(_) | Passed::Unreadable => slot as usize,
            };
            let arguments = match wrapper {
                Wrapper::Native => abi::SYSCALL_ARGUMENTS,
                Wrapper::Ia32 => abi::IA32_SYSCALL_ARGUMENTS,
            };
            let offset = arguments.get(index).copied().unwrap_or(0);
            let address = registers.add_constant(offset.into());
            return Node::load(address, 8, Space::Kernel, span);
        }
        match passed {
            _ if is_trampoline => {
                let is_number = self.known.trampoline.get(slot as usize);
                self.trampoline_word(slot, is_number == Some(&true), span)
            }
            Passed::Stack(bytes) => {
                let address = word(abi::STACK_POINTER).add_constant(bytes.cast_signed());
                Node::load(address, 8, function.space, span)
            }
            Passed::Register(index) => {
                word(abi::FUNCTION_ARGUMENTS.get(index).copied().unwrap_or(0))
            }
            // Of a structure, no member that can be read lies there.
            Passed::Unreadable => Node::constant(0, span),
        }
    }

    /// 8 bytes of a trampoline's context. What is not a number may be a pointer to the verifier, which
    /// it lets take part in little, or even refuses to be loaded (before 6.0, `btf_ctx_access` in
    /// kernel/bpf/btf.c refuses pointers to anything but structures); so it is read as memory is.
    fn trampoline_word(&self, slot: u32, is_number: bool, span: Span) -> Node {
        let offset = slot.saturating_mul(8);
        if is_number {
            return Node::context(offset, 8, span);
        }
        Node::load(Node::context_address(offset, span), 8, Space::Kernel, span)
    }

    /// A parameter of which more than its number is known.
    pub(in super::super) fn parameter(
        &mut self,
        parameter: &Parameter,
        function: &FunctionSite,
        span: Span,
    ) -> Result<Term, Reported> {
        if let Some(reason) = &parameter.unclear {
            let name = parameter.name.as_deref().unwrap_or("the argument");
            let note = "write arg1, arg2, … for the registers as they are";
            return Err(self.not_available(name, reason, span, note));
        }
        let ty = self.open(&parameter.ty, span)?;
        if let Ty::Composite(..) = ty {
            let at = self.structure(parameter, function, span);
            return Ok(Term::Place(Place { at, ty, bits: None }));
        }
        let passed = parameter.passed.first().copied();
        let passed = passed.unwrap_or(Passed::Unreadable);
        let word = self.argument_word(function, passed, parameter.trampoline_slot, span);
        let mut value = self.word_as(word, ty, span)?;
        value.space = Some(if self.known.wrapper.is_some() {
            Space::User
        } else {
            function.space
        });
        Ok(Term::Value(value))
    }

    /// Where a structure is that was passed by value.
    fn structure(&mut self, parameter: &Parameter, function: &FunctionSite, span: Span) -> At {
        if let [Passed::Stack(bytes)] = parameter.passed[..]
            && self.context != Context::Trampoline
            && !parameter.is_by_reference
        {
            let stack_pointer = Node::context(abi::STACK_POINTER, 8, span);
            let address = stack_pointer.add_constant(bytes.cast_signed());
            return At::Memory(address, function.space);
        }
        let slots = parameter.trampoline_slot..;
        let words = parameter.passed.iter().zip(slots);
        let mut words =
            words.map(|(passed, slot)| self.argument_word(function, *passed, slot, span));
        if parameter.is_by_reference
            && let Some(address) = words.next()
        {
            return At::Memory(address, function.space);
        }
        At::Words {
            words: words.collect(),
            offset_bytes: 0,
            space: function.space,
        }
    }

    /// The value of that type that the lowest bytes of `word` hold.
    fn word_as(&mut self, word: Node, ty: Ty, span: Span) -> Result<Value, Reported> {
        if let Some(int) = ty.as_int() {
            self.fits_word(int, span)?;
            let node = word.extend(int.bytes, int.is_signed);
            return Ok(Value {
                node,
                ty,
                space: None,
            });
        }
        match ty {
            Ty::Pointer { .. } => Ok(Value {
                node: word,
                ty,
                space: None,
            }),
            // A parameter that is declared as an array is a pointer.
            Ty::Array { element, .. } => Ok(Value {
                node: word,
                ty: Ty::Pointer {
                    target: element,
                    is_user: false,
                },
                space: None,
            }),
            Ty::Float(float) => Err(self.report(Problem::Float(float.name.clone()), span, "")),
            other => {
                let problem = Problem::WrongType {
                    found: format!("{} passed by value", self.sources.describe(&other)),
                    expected: "a number or pointer",
                };
                Err(self.report(problem, span, ""))
            }
        }
    }

    /// `retval` in an expression.
    pub(super) fn retval_as_written(&mut self, span: Span) -> Result<Term, Reported> {
        let term = self.retval(span)?;
        let (Site::Function(function), Term::Value(value)) = (self.site, &term) else {
            return Ok(term);
        };
        let word = self.returned_word(value.ty.as_int().is_some(), span);
        let is_told = function.space == Space::Kernel;
        Ok(Term::Value(register(word, value.clone(), is_told)))
    }

    /// `retval`, of the type that it is declared with.
    pub(in super::super) fn retval(&mut self, span: Span) -> Result<Term, Reported> {
        let function = match self.site {
            Site::Function(function) if function.at_return && !self.is_in_entry => function,
            Site::Function(_) if self.is_in_entry => {
                let reason = "the function has not returned when $entry(…) is read";
                return Err(self.not_available("retval", reason, span, ""));
            }
            _ => {
                let reason = "this is not a return probe";
                let note = "write a probe that begins with `r:`";
                return Err(self.not_available("retval", reason, span, note));
            }
        };
        let ty = match self.known.returns.clone() {
            Some(returns) => self.open(&returns, span)?,
            None => Ty::Int(IntTy::UNKNOWN),
        };
        if ty == Ty::Void {
            let reason = "the function returns nothing";
            return Err(self.not_available("retval", reason, span, ""));
        }
        if let Ty::Composite(..) = ty {
            let at = self.returned_structure(&ty, function.space, span)?;
            return Ok(Term::Place(Place { at, ty, bits: None }));
        }
        let word = self.returned_word(ty.as_int().is_some(), span);
        let mut value = self.word_as(word, ty, span)?;
        value.space = Some(function.space);
        Ok(Term::Value(value))
    }

    /// The register that a function returns its result in.
    fn returned_word(&self, is_number: bool, span: Span) -> Node {
        if self.context == Context::Trampoline {
            let slot = u32::try_from(self.known.trampoline.len()).unwrap_or(u32::MAX);
            return self.trampoline_word(slot, is_number, span);
        }
        Node::context(abi::RETURN_VALUE, 8, span)
    }

    /// Where a structure is that was returned.
    fn returned_structure(&mut self, ty: &Ty, space: Space, span: Span) -> Result<At, Reported> {
        let class = class_of(ty, self.sources);
        let class = class.map_err(|error| self.report(error, span, ""))?;
        let first = self.returned_word(false, span);
        let kinds = match class {
            // The register has its address.
            Class::Memory { .. } | Class::Reference => return Ok(At::Memory(first, space)),
            Class::Registers { kinds, .. } => kinds,
            // No member that can be read lies there.
            Class::X87 { .. } | Class::WideVector => Vec::new(),
            Class::Unknown => {
                let reason = format!("how {} is returned is not known", self.sources.describe(ty));
                return Err(self.not_available("retval", &reason, span, ""));
            }
        };
        // The kernel has no trampolines at functions that return more than a word.
        let second = Node::context(abi::SECOND_RETURN_VALUE, 8, span);
        let mut registers = [first, second].into_iter();
        let words = kinds.into_iter().map(|kind| match kind {
            Kind::Integer => registers.next(),
            Kind::Float | Kind::Nothing => None,
        });
        // As for parameters: what is in no integer register can't be read anyway.
        let words = words.map(|word| word.unwrap_or_else(|| Node::constant(0, span)));
        Ok(At::Words {
            words: words.collect(),
            offset_bytes: 0,
            space,
        })
    }

    /// An argument of a statically defined probe.
    pub(in super::super) fn operand(
        &mut self,
        operand: &Operand,
        written: &str,
        span: Span,
    ) -> Result<Value, Reported> {
        let word = |offset| Node::context(offset, 8, span);
        let node = match &operand.place {
            OperandPlace::Register(offset) if offset.is_multiple_of(8) => word(*offset),
            // The second byte of a register, such as %ah.
            OperandPlace::Register(offset) => Node::context(*offset, 1, span),
            OperandPlace::Constant(value) => Node::constant(*value, span),
            OperandPlace::Memory {
                base,
                index,
                scale,
                displacement,
            } => {
                let mut address = word(*base);
                if let Some(index) = index {
                    let index = super::access::scale(word(*index), (*scale).into(), span);
                    address = Node::arithmetic(Arithmetic::Add, address, index, span);
                }
                let address = address.add_constant(*displacement);
                Node::load(address, operand.bytes, Space::User, span)
            }
            OperandPlace::Unsupported(reason) => {
                return Err(self.not_available(written, reason, span, ""));
            }
        };
        // All that is known of 8 bytes is that they may be an address.
        let ty = if operand.bytes == 8 && !operand.is_signed {
            IntTy::UNKNOWN
        } else {
            IntTy::new(operand.bytes, operand.is_signed)
        };
        self.fits_word(ty, span)?;
        let node = node.extend(ty.bytes, ty.is_signed);
        Ok(Value {
            space: Some(Space::User),
            ..int_value(node, ty)
        })
    }

    /// The parameter of that number, counted from 0, which is called `name`.
    pub(super) fn parameter_at(
        &mut self,
        at: usize,
        name: &str,
        span: Span,
    ) -> Result<Term, Reported> {
        let Some(parameter) = self.known.parameters.get(at).cloned() else {
            return Err(self.report(Problem::UnknownName(name.to_owned()), span, ""));
        };
        match self.site {
            Site::Function(function) => {
                self.is_at_entry(function, name, span)?;
                self.parameter(&parameter, function, span)
            }
            Site::Usdt(usdt) => match usdt.operands.get(at) {
                Some(operand) => {
                    let value = self.operand(operand, name, span)?;
                    let ty = self.open(&parameter.ty, span)?;
                    let space = value.space;
                    let node = value.node;
                    let value = self.word_as(node, ty, span)?;
                    Ok(Term::Value(Value { space, ..value }))
                }
                None => {
                    let note = self.arguments_there_are(usdt.operands.len());
                    Err(self.not_available(name, "the probe does not have it", span, note))
                }
            },
            Site::Tracepoint(_) => {
                let reason = "a tracepoint has fields";
                Err(self.not_available(name, reason, span, "write `args->field`"))
            }
        }
    }
}

/// What `argN` or `retval` means that `word` holds, if it is declared as `declared` is. A pointer is a
/// number where it is not followed.
///
/// Types that nobody is told of before, those of a program, are read only if something in the probe
/// asks for them. So they have no say in what numbers mean: another expression would change it.
fn register(word: Node, declared: Value, is_told: bool) -> Value {
    let int = if is_told {
        IntTy::UNSIGNED_LONG
    } else {
        IntTy::UNKNOWN
    };
    let ty = match declared.ty {
        pointer @ Ty::Pointer { .. } => {
            let pointer = Rc::new(pointer);
            Ty::Register { int, pointer }
        }
        _ if is_told => return declared,
        _ => Ty::Int(int),
    };
    Value {
        node: word,
        ty,
        ..declared
    }
}

impl Known {
    /// How many registers the parameters are in.
    fn in_registers(&self) -> usize {
        let words = self.parameters.iter().flat_map(|known| &known.passed);
        let in_register = |passed: &&Passed| matches!(passed, Passed::Register(_));
        words.filter(in_register).count()
    }
}
