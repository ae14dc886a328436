//! What is known of an expression before there is a text. One that is false whatever the
//! text is would pass every text in silence. Pure. Knows the mistakes that people make:
//! the other stage, two values at once, a size below zero.

use ::cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

/// The answer of an expression at a stage; none if it depends on the text.
pub(crate) fn answer(expression: &Expr, stage: &str) -> Option<bool> {
    match expression {
        Expr::Literal(LiteralValue::Boolean(answer)) => Some(*answer.inner()),
        Expr::Call(call) => of_call(call, stage),
        _ => None,
    }
}

fn of_call(call: &CallExpr, stage: &str) -> Option<bool> {
    let of = |part: &IdedExpr| answer(&part.expr, stage);
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_AND, [left, right]) => match (of(left), of(right)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => contradicts(call).then_some(false),
        },
        (operators::LOGICAL_OR, [left, right]) => match (of(left), of(right)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        (operators::LOGICAL_NOT, [operand]) => of(operand).map(|answer| !answer),
        (operators::CONDITIONAL, [condition, yes, no]) => match of(condition) {
            Some(true) => of(yes),
            Some(false) => of(no),
            None => of(yes).filter(|answer| of(no) == Some(*answer)),
        },
        (operators::IN, [item, list]) if is_stage(item) => {
            let Expr::List(list) = &list.expr else { return None };
            let texts: Option<Vec<&str>> = list.elements.iter().map(text).collect();
            Some(texts?.contains(&stage))
        }
        (operators::EQUALS, [left, right]) => equality(left, right)
            .filter(|(name, _)| *name == "stage")
            .map(|(_, value)| value == stage)
            .or_else(|| of_size(operators::EQUALS, left, right)),
        (operators::NOT_EQUALS, [left, right]) => equality(left, right)
            .filter(|(name, _)| *name == "stage")
            .map(|(_, value)| value != stage),
        (operator, [left, right]) => of_size(operator, left, right),
        _ => None,
    }
}

/// A comparison of a size with a number that no size reaches.
fn of_size(operator: &str, left: &IdedExpr, right: &IdedExpr) -> Option<bool> {
    let (operator, number) = match (is_size(left), is_size(right)) {
        (true, false) => (operator, integer(right)?),
        (false, true) => (mirrored(operator), integer(left)?),
        _ => return None,
    };
    match operator {
        operators::LESS if number <= 0 => Some(false),
        operators::LESS_EQUALS | operators::EQUALS if number < 0 => Some(false),
        operators::GREATER if number < 0 => Some(true),
        operators::GREATER_EQUALS if number <= 0 => Some(true),
        _ => None,
    }
}

fn mirrored(operator: &str) -> &str {
    match operator {
        operators::LESS => operators::GREATER,
        operators::LESS_EQUALS => operators::GREATER_EQUALS,
        operators::GREATER => operators::LESS,
        operators::GREATER_EQUALS => operators::LESS_EQUALS,
        other => other,
    }
}

fn is_size(part: &IdedExpr) -> bool {
    matches!(&part.expr, Expr::Call(call) if call.func_name == "size")
}

fn integer(part: &IdedExpr) -> Option<i64> {
    match &part.expr {
        Expr::Literal(LiteralValue::Int(number)) => Some(*number.inner()),
        Expr::Call(call) if call.func_name == operators::NEGATE => integer(call.args.first()?)?.checked_neg(),
        _ => None,
    }
}

/// Whether parts that must all be true say two values of one variable.
fn contradicts(call: &CallExpr) -> bool {
    let mut said: Vec<(&str, &str)> = Vec::new();
    let mut open: Vec<&IdedExpr> = call.args.iter().collect();
    while let Some(part) = open.pop() {
        let Expr::Call(call) = &part.expr else { continue };
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, parts) => open.extend(parts),
            (operators::EQUALS, [left, right]) => said.extend(equality(left, right)),
            _ => {}
        }
    }
    said.iter()
        .any(|(name, value)| said.iter().any(|(other, another)| name == other && value != another))
}

/// A variable and the text that it is compared with.
fn equality<'a>(left: &'a IdedExpr, right: &'a IdedExpr) -> Option<(&'a str, &'a str)> {
    match (variable(left), text(right)) {
        (Some(name), Some(value)) => Some((name, value)),
        _ => variable(right).zip(text(left)),
    }
}

fn is_stage(part: &IdedExpr) -> bool {
    variable(part) == Some("stage")
}

fn variable(part: &IdedExpr) -> Option<&str> {
    match &part.expr {
        Expr::Ident(name) => Some(name),
        _ => None,
    }
}

fn text(part: &IdedExpr) -> Option<&str> {
    match &part.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
