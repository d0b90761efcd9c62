//! Operators and casts, as C has them.

use super::{Checker, Problem, Reported, Term, Value, access::scale, int_value};
use crate::{
    compile::{
        ir::{Arithmetic, Comparison, Node, Order},
        ty::{IntKind, IntTy, Ty},
    },
    spec::expr::{BinaryOp, Expr, Span, TypeName, UnaryOp},
};

impl Checker<'_> {
    pub(super) fn unary(
        &mut self,
        op: UnaryOp,
        operand: &Expr,
        span: Span,
    ) -> Result<Term, Reported> {
        let value = match op {
            UnaryOp::Dereference => return self.dereference(operand, span),
            UnaryOp::AddressOf => return self.address(operand, span),
            UnaryOp::Not => {
                let value = self.scalar(operand)?;
                int_value(value.node.not(span), IntTy::INT)
            }
            UnaryOp::Plus | UnaryOp::Minus | UnaryOp::Complement => {
                let (value, int) = self.integer(operand)?;
                let ty = int.promoted();
                let node = match op {
                    UnaryOp::Minus => value.node.negate(span),
                    UnaryOp::Complement => value.node.complement(span),
                    _ => value.node,
                };
                int_value(node.extend(ty.bytes, ty.is_signed), ty)
            }
        };
        Ok(Term::Value(value))
    }

    pub(super) fn binary(
        &mut self,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        span: Span,
    ) -> Result<Value, Reported> {
        if let BinaryOp::LogicalAnd | BinaryOp::LogicalOr = op {
            let (left, right) = (self.condition(left), self.condition(right));
            let make = if op == BinaryOp::LogicalAnd {
                Node::and
            } else {
                Node::or
            };
            return Ok(int_value(make(left?, right?, span), IntTy::INT));
        }
        let (left_value, right_value) = (self.scalar(left), self.scalar(right));
        let (left_value, right_value) = (left_value?, right_value?);
        if op.is_comparison() {
            return Ok(self.compare(op, left_value, right_value, span));
        }
        match (left_value.ty.as_int(), right_value.ty.as_int()) {
            (Some(left_int), Some(right_int)) => self.arithmetic(
                op,
                (left_value, left_int),
                (right_value, right_int),
                right.span,
                span,
            ),
            _ => self.pointer_arithmetic(op, left_value, right_value, span),
        }
    }

    fn compare(&self, op: BinaryOp, left: Value, right: Value, span: Span) -> Value {
        let order = match op {
            BinaryOp::Less => Order::Less,
            BinaryOp::LessOrEqual => Order::LessOrEqual,
            BinaryOp::Greater => Order::Greater,
            BinaryOp::GreaterOrEqual => Order::GreaterOrEqual,
            BinaryOp::NotEqual => Order::NotEqual,
            _ => Order::Equal,
        };
        let is_signed = match (left.ty.as_int(), right.ty.as_int()) {
            (Some(left_int), Some(right_int)) => {
                let common = common_for_comparison(order, (&left, left_int), (&right, right_int));
                let left = convert(left.node, left_int, common);
                let right = convert(right.node, right_int, common);
                let comparison = Comparison {
                    order,
                    is_signed: common.is_signed,
                };
                return int_value(Node::compare(comparison, left, right, span), IntTy::INT);
            }
            // Addresses have no sign.
            _ => false,
        };
        let comparison = Comparison { order, is_signed };
        let node = Node::compare(comparison, left.node, right.node, span);
        int_value(node, IntTy::INT)
    }

    fn arithmetic(
        &mut self,
        op: BinaryOp,
        (left, left_int): (Value, IntTy),
        (right, right_int): (Value, IntTy),
        right_span: Span,
        span: Span,
    ) -> Result<Value, Reported> {
        let is_shift = matches!(op, BinaryOp::ShiftLeft | BinaryOp::ShiftRight);
        // The count of a shift has no say in its type.
        let ty = if is_shift {
            left_int.promoted()
        } else {
            left_int.common(right_int)
        };
        let space = left.space.or(right.space);
        let left = convert(left.node, left_int, ty);
        let right = if is_shift {
            // As the CPU does it; C leaves greater counts undefined.
            let most = Node::constant(i64::from(ty.bytes) * 8 - 1, right_span);
            Node::arithmetic(Arithmetic::And, right.node, most, right_span)
        } else {
            convert(right.node, right_int, ty)
        };
        let is_signed = ty.is_signed;
        let operation = match op {
            BinaryOp::Multiply => Arithmetic::Multiply,
            BinaryOp::Divide => Arithmetic::Divide { is_signed },
            BinaryOp::Remainder => Arithmetic::Remainder { is_signed },
            BinaryOp::Add => Arithmetic::Add,
            BinaryOp::Subtract => Arithmetic::Subtract,
            BinaryOp::ShiftLeft => Arithmetic::ShiftLeft,
            BinaryOp::ShiftRight => Arithmetic::ShiftRight { is_signed },
            BinaryOp::And => Arithmetic::And,
            BinaryOp::Xor => Arithmetic::Xor,
            _ => Arithmetic::Or,
        };
        let is_division = matches!(op, BinaryOp::Divide | BinaryOp::Remainder);
        if is_division && right.as_constant() == Some(0) {
            return Err(self.report(Problem::DivisionByZero, right_span, ""));
        }
        let node = Node::arithmetic(operation, left, right, span);
        // These stay within the type of their operands.
        let may_overflow = !matches!(
            op,
            BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::ShiftRight
        );
        let node = if may_overflow {
            node.extend(ty.bytes, ty.is_signed)
        } else {
            node
        };
        let value = int_value(node, ty);
        Ok(Value { space, ..value })
    }

    fn pointer_arithmetic(
        &mut self,
        op: BinaryOp,
        left: Value,
        right: Value,
        span: Span,
    ) -> Result<Value, Reported> {
        let target = |value: &Value| match &value.ty {
            Ty::Pointer { target, .. } => Some((**target).clone()),
            _ => None,
        };
        match (op, target(&left), target(&right)) {
            (BinaryOp::Add, Some(target), None) => {
                self.moved(Arithmetic::Add, left, &target, right.node, span)
            }
            (BinaryOp::Add, None, Some(target)) => {
                self.moved(Arithmetic::Add, right, &target, left.node, span)
            }
            (BinaryOp::Subtract, Some(target), None) => {
                self.moved(Arithmetic::Subtract, left, &target, right.node, span)
            }
            (BinaryOp::Subtract, Some(target), Some(_)) => {
                self.distance(left.node, right.node, &target, span)
            }
            // Masks and alignments of addresses: C wants a cast, which would say nothing new.
            (BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Remainder, ..) => {
                let as_int = |value: Value| {
                    let ty = value.ty.as_int().unwrap_or(IntTy::UNSIGNED_LONG);
                    (value, ty)
                };
                self.arithmetic(op, as_int(left), as_int(right), span, span)
            }
            (_, left_target, _) => {
                let pointer = if left_target.is_some() { left } else { right };
                let problem = Problem::WrongType {
                    found: self.sources.describe(&pointer.ty),
                    expected: "an integer",
                };
                let note = format!("`{}` is not for pointers", op.symbol());
                Err(self.report(problem, span, note))
            }
        }
    }

    /// A pointer to what is `count` elements further or nearer.
    fn moved(
        &mut self,
        operation: Arithmetic,
        pointer: Value,
        target: &Ty,
        count: Node,
        span: Span,
    ) -> Result<Value, Reported> {
        let bytes = self.size_bytes(target, span)?;
        let by = scale(count, bytes, span);
        let node = Node::arithmetic(operation, pointer.node, by, span);
        Ok(Value { node, ..pointer })
    }

    /// How many elements are from `right` to `left`.
    fn distance(
        &mut self,
        left: Node,
        right: Node,
        target: &Ty,
        span: Span,
    ) -> Result<Value, Reported> {
        let bytes = self.size_bytes(target, span)?;
        if bytes == 0 {
            return Err(self.report(Problem::DivisionByZero, span, ""));
        }
        let difference = Node::arithmetic(Arithmetic::Subtract, left, right, span);
        let node = if bytes == 1 {
            difference
        } else {
            let divide = Arithmetic::Divide { is_signed: true };
            let bytes = Node::constant(bytes.cast_signed(), span);
            Node::arithmetic(divide, difference, bytes, span)
        };
        Ok(int_value(node, IntTy::LONG))
    }

    pub(super) fn conditional(
        &mut self,
        condition: &Expr,
        first: &Expr,
        second: &Expr,
        span: Span,
    ) -> Result<Value, Reported> {
        let condition = self.condition(condition);
        let (first, second) = (self.scalar(first), self.scalar(second));
        let (condition, first, second) = (condition?, first?, second?);
        let space = first.space.or(second.space);
        let (first_node, second_node, ty) = match (first.ty.as_int(), second.ty.as_int()) {
            (Some(first_int), Some(second_int)) => {
                let common = first_int.common(second_int);
                (
                    convert(first.node, first_int, common),
                    convert(second.node, second_int, common),
                    Ty::Int(common),
                )
            }
            // A pointer and a 0.
            (Some(_), None) => (first.node, second.node, second.ty),
            _ => (first.node, second.node, first.ty),
        };
        let node = Node::choose(condition, first_node, second_node, span);
        Ok(Value { node, ty, space })
    }

    pub(super) fn cast(
        &mut self,
        type_name: &TypeName,
        operand: &Expr,
        span: Span,
    ) -> Result<Value, Reported> {
        let (ty, value) = (self.type_named(type_name), self.scalar(operand));
        let (ty, value) = (ty?, value?);
        let ty = self.open(&ty, type_name.span)?;
        let from = value.ty.as_int().unwrap_or(IntTy::UNSIGNED_LONG);
        let node = match &ty {
            Ty::Int(IntTy {
                kind: IntKind::Bool,
                ..
            }) => value.node.truth(span),
            Ty::Pointer { .. } => convert(value.node, from, IntTy::UNSIGNED_LONG),
            Ty::Float(float) => {
                return Err(self.report(Problem::Float(float.name.clone()), type_name.span, ""));
            }
            _ => {
                let Some(int) = ty.as_int() else {
                    let problem = Problem::WrongType {
                        found: self.sources.describe(&ty),
                        expected: "an integer or pointer type",
                    };
                    let note = match ty {
                        Ty::Composite(..) | Ty::Forward { .. } => "write a `*` after it",
                        _ => "",
                    };
                    return Err(self.report(problem, type_name.span, note));
                };
                self.fits_word(int, type_name.span)?;
                convert(value.node, from, int)
            }
        };
        // A cast says nothing of whose memory it is, unless the type does.
        let space = value.space;
        Ok(Value { node, ty, space })
    }
}

/// `node`, a word of type `from`, as one of type `to`.
pub(super) fn convert(node: Node, from: IntTy, to: IntTy) -> Node {
    let keeps = to.bytes == 8
        || (from.bytes < to.bytes && (to.is_signed || !from.is_signed))
        || (from.bytes == to.bytes && from.is_signed == to.is_signed);
    if keeps {
        node
    } else {
        node.extend(to.bytes, to.is_signed)
    }
}

/// The type in which two integers are compared.
///
/// A register of which nothing is known may hold an `int` and rubbish, or zeros, above it. So where
/// only a number with a sign makes sense (`retval == -1`, `retval < 0`), it is taken for an `int`.
fn common_for_comparison(
    order: Order,
    (left, left_int): (&Value, IntTy),
    (right, right_int): (&Value, IntTy),
) -> IntTy {
    let (unknown, constant, order) = match (left.node.as_constant(), right.node.as_constant()) {
        (None, Some(constant)) => (left, constant, order),
        (Some(constant), None) => (right, constant, order.exchanged()),
        _ => return left_int.common(right_int),
    };
    let other = if std::ptr::eq(unknown, left) {
        right_int
    } else {
        left_int
    };
    let wants_sign =
        constant < 0 || (constant == 0 && matches!(order, Order::Less | Order::GreaterOrEqual));
    let is_small = i32::try_from(constant).is_ok() && other.is_signed;
    if unknown.ty.is_unknown() && wants_sign && is_small {
        return IntTy::INT;
    }
    left_int.common(right_int)
}
