//! What names stand for: parameters, constants, fields, types.

use super::{
    At, Checker, Place, Problem, Reported, Term, Value, arguments::Parameter, int_value,
    pointer_value,
};
use crate::{
    compile::{
        ir::{Arithmetic, Node, Question},
        site::{Field, Location, Site, Space},
        ty::{IntTy, Origin, Ty, keyword},
    },
    spec::expr::{BaseType, Name, Span, TypeName},
    suggest,
    types::Keyword,
};

impl Checker<'_> {
    pub(super) fn has_parameter(&self, name: &str) -> bool {
        let mut parameters = self.known.parameters.iter();
        parameters.any(|parameter| parameter.name.as_deref() == Some(name))
    }

    /// A parameter or constant.
    pub(in super::super) fn name(&mut self, name: &str, span: Span) -> Result<Term, Reported> {
        let is_wanted = |parameter: &&Parameter| parameter.name.as_deref() == Some(name);
        let parameters = &self.known.parameters;
        if let Some(at) = parameters
            .iter()
            .position(|parameter| is_wanted(&parameter))
        {
            return self.parameter_at(at, name, span);
        }
        match name {
            "NULL" => {
                let node = Node::constant(0, span);
                let ty = Ty::pointer_to(Ty::Void);
                return Ok(Term::Value(Value {
                    node,
                    ty,
                    space: None,
                }));
            }
            "true" | "false" => {
                let node = Node::constant((name == "true").into(), span);
                return Ok(Term::Value(int_value(node, IntTy::INT)));
            }
            _ => {}
        }
        for (origin, source) in self.sources.in_order() {
            match source.constant(name) {
                Ok(Some((id, constant))) => {
                    let ty = self.open(&Ty::Named(origin, id), span)?;
                    let node = Node::constant(constant, span);
                    return Ok(Term::Value(Value {
                        node,
                        ty,
                        space: None,
                    }));
                }
                Ok(None) => {}
                Err(error) => return Err(self.report(error, span, "")),
            }
        }
        let note = self.names_there_are(name);
        Err(self.report(Problem::UnknownName(name.to_owned()), span, note))
    }

    /// What could have been meant by `name`.
    fn names_there_are(&self, name: &str) -> String {
        if let Site::Tracepoint(tracepoint) = self.site {
            let mut fields = tracepoint.fields.iter();
            if name == "args" {
                return "write `args->field`".to_owned();
            }
            return match fields.find(|field| field.name == name) {
                Some(_) => format!("write `args->{name}`"),
                None => "a tracepoint's fields are `args->field`".to_owned(),
            };
        }
        let parameters = self.known.parameters.iter();
        let known: Vec<&str> = parameters
            .filter_map(|known| known.name.as_deref())
            .collect();
        let nearest = suggest::nearest(name, known.iter().copied(), 3);
        if !nearest.is_empty() {
            return suggest::did_you_mean(&nearest);
        }
        match known.as_slice() {
            [] => "the parameters' names are not known here: write arg1, arg2, …".to_owned(),
            known => format!("there are {}", known.join(", ")),
        }
    }

    /// Whose memory the pointers in a tracepoint's record point to.
    pub(super) fn record_space(&self) -> Space {
        match self.site {
            Site::Tracepoint(tracepoint) if tracepoint.is_syscall => Space::User,
            _ => Space::Kernel,
        }
    }

    /// `args->field`.
    pub(super) fn record_field(&mut self, args: Span, member: &Name) -> Result<Term, Reported> {
        let Site::Tracepoint(tracepoint) = self.site else {
            let note = "it is for tracepoints; write arg1, arg2, …";
            let problem = Problem::UnknownName("args".to_owned());
            return Err(self.report(problem, args, note));
        };
        let fields = &tracepoint.fields;
        let Some(field) = fields.iter().find(|field| field.name == member.text) else {
            let names = || fields.iter().map(|field| field.name.as_str());
            let note = match suggest::nearest(&member.text, names(), 3).as_slice() {
                [] => {
                    let own = names().filter(|name| !name.starts_with("common_"));
                    format!("it has {}", own.collect::<Vec<_>>().join(", "))
                }
                nearest => suggest::did_you_mean(nearest),
            };
            let problem = Problem::UnknownField {
                field: member.text.clone(),
                owner: "the tracepoint".to_owned(),
            };
            return Err(self.report(problem, member.span, note));
        };
        let span = args.to(member.span);
        self.field(field, span)
    }

    /// The value of a field of a tracepoint's record.
    pub(in super::super) fn field(&mut self, field: &Field, span: Span) -> Result<Term, Reported> {
        // The kernel puts a pointer of its own there for the program (`perf_trace_run_bpf_submit`,
        // kernel/events/core.c).
        if field.offset_bytes < 8 {
            let reason = "the kernel lets programs read no field before the eighth byte";
            let note = match field.name.as_str() {
                "common_pid" => "write `$pid`",
                _ => "",
            };
            return Err(self.not_available(&field.name, reason, span, note));
        }
        let ty = self.open(&Ty::Named(Origin::Site, field.type_id), span)?;
        let ty = match ty {
            Ty::Void => Ty::Int(IntTy::new(
                u8::try_from(field.bytes).unwrap_or(u8::MAX),
                field.is_signed,
            )),
            known => known,
        };
        let start = match field.location {
            Location::Here => {
                let at = At::Record(field.offset_bytes);
                return Ok(Term::Place(Place { at, ty, bits: None }));
            }
            Location::Elsewhere => 0,
            Location::Behind => field.offset_bytes.saturating_add(field.bytes),
        };
        let mask = Node::constant(0xffff, span);
        let place = Node::context(field.offset_bytes, 4, span);
        let place = Node::arithmetic(Arithmetic::And, place, mask, span);
        let start = Node::context_address(start, span);
        let address = Node::arithmetic(Arithmetic::Add, start, place, span);
        let element = match ty {
            Ty::Array { element, .. } => (*element).clone(),
            other => other,
        };
        Ok(Term::Value(pointer_value(address, element, Space::Kernel)))
    }

    /// The type that `name` is a typedef of, unless it means a value here.
    pub(super) fn typedef_only(&mut self, name: &str, span: Span) -> Option<Ty> {
        if self.has_parameter(name) {
            return None;
        }
        let type_name = TypeName {
            base: BaseType::Typedef(Name {
                text: name.to_owned(),
                span,
            }),
            pointers: 0,
            rows: Vec::new(),
            is_user: false,
            span,
        };
        self.sources.named(&type_name).ok().flatten()
    }

    /// `$task`.
    pub(super) fn task(&mut self, span: Span) -> Result<Value, Reported> {
        let node = Node::ask(Question::Task, span);
        let found = match self.sources.kernel {
            Some(kernel) => kernel.find(Keyword::Struct, "task_struct"),
            None => Ok(None),
        };
        let target = match found {
            Ok(Some(id)) => Ty::Named(Origin::Kernel, id),
            Ok(None) => Ty::Forward {
                name: "task_struct".to_owned(),
                is_union: false,
            },
            Err(error) => return Err(self.report(error, span, "")),
        };
        Ok(pointer_value(node, target, Space::Kernel))
    }
    pub(super) fn unknown_type(&mut self, name: &TypeName) -> Reported {
        let (keyword, wanted, span) = match &name.base {
            BaseType::Tagged(tag, name) => (keyword(*tag), name.text.as_str(), name.span),
            BaseType::Typedef(name) => (Keyword::None, name.text.as_str(), name.span),
            BaseType::Void | BaseType::Basic(_) | BaseType::Float => (Keyword::None, "", name.span),
        };
        let mut known = Vec::new();
        for (_, source) in self.sources.in_order() {
            known.extend(source.names(keyword));
        }
        let nearest = suggest::nearest(wanted, known.iter().map(String::as_str), 3);
        let mut note = suggest::did_you_mean(&nearest);
        if note.is_empty() && keyword == Keyword::None {
            let tagged = [
                (Keyword::Struct, "struct"),
                (Keyword::Union, "union"),
                (Keyword::Enum, "enum"),
            ];
            let sources: Vec<_> = self.sources.in_order().collect();
            let found = tagged.iter().find(|(keyword, _)| {
                let mut sources = sources.iter();
                sources.any(|(_, source)| matches!(source.find(*keyword, wanted), Ok(Some(_))))
            });
            if let Some((_, word)) = found {
                note = format!("write `{word} {wanted}`");
            }
        }
        self.report(Problem::UnknownType(wanted.to_owned()), span, note)
    }
}
