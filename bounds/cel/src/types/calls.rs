//! The types of operators and functions.

use ::cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{Checker, Type, a};
use crate::STAGES;

impl Checker {
    pub(super) fn call(&mut self, call: &CallExpr) -> Result<Type, String> {
        match (call.func_name.as_str(), call.args.as_slice(), &call.target) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right], None) => {
                self.bool(left)?;
                self.bool(right)
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [operand], None) => self.bool(operand),
            (operators::CONDITIONAL, [condition, yes, no], None) => {
                self.bool(condition)?;
                let (yes, no) = (self.part(yes)?, self.part(no)?);
                Ok(yes.or(&no))
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right], None) => self.equality(left, right),
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
                None,
            ) => {
                let (left, right) = (self.part(left)?, self.part(right)?);
                if left.is_ordered_with(&right) {
                    return Ok(Type::Bool);
                }
                Err(format!("it compares {} with {}", a(&left), a(&right)))
            }
            (operators::IN, [item, list], None) => self.containment(item, list),
            (operators::INDEX | operators::OPT_INDEX, [list, index], None) => self.element(list, index),
            (
                operator @ (operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO),
                [left, right],
                None,
            ) => self.arithmetic(operator, left, right),
            (operators::NEGATE, [operand], None) => match self.part(operand)? {
                kind @ (Type::Int | Type::Double | Type::Duration | Type::Any) => Ok(kind),
                other => Err(format!("{} has no sign", a(&other))),
            },
            (operators::OPT_SELECT, _, _) => Ok(Type::Any),
            _ => self.function(call),
        }
    }

    fn bool(&mut self, part: &IdedExpr) -> Result<Type, String> {
        match self.part(part)? {
            Type::Bool | Type::Any => Ok(Type::Bool),
            other => Err(format!("{} is no bool", a(&other))),
        }
    }

    fn equality(&mut self, left: &IdedExpr, right: &IdedExpr) -> Result<Type, String> {
        let (left_type, right_type) = (self.part(left)?, self.part(right)?);
        if !left_type.may_equal(&right_type) {
            return Err(format!(
                "it compares {} with {}, which are never equal",
                a(&left_type),
                a(&right_type)
            ));
        }
        check_stage(left, right)?;
        check_stage(right, left)?;
        Ok(Type::Bool)
    }

    fn containment(&mut self, item: &IdedExpr, list: &IdedExpr) -> Result<Type, String> {
        let (item_type, list_type) = (self.part(item)?, self.part(list)?);
        let found = match &list_type {
            Type::List(found) | Type::Map(found, _) => found,
            Type::Any => return Ok(Type::Bool),
            other => return Err(format!("{} is no list", a(other))),
        };
        if !item_type.may_equal(found) {
            return Err(format!("it looks for {} in a {list_type}", a(&item_type)));
        }
        if let Expr::List(list) = &list.expr {
            for element in &list.elements {
                check_stage(item, element)?;
            }
        }
        Ok(Type::Bool)
    }

    fn element(&mut self, list: &IdedExpr, index: &IdedExpr) -> Result<Type, String> {
        let (list, index) = (self.part(list)?, self.part(index)?);
        match list {
            Type::Any => Ok(Type::Any),
            Type::List(item) if index.is_number() || index == Type::Any => Ok(*item),
            Type::Map(key, value) if key.may_equal(&index) => Ok(*value),
            Type::List(_) | Type::Map(..) => Err(format!("a {list} has no element for {}", a(&index))),
            other => Err(format!("{} has no elements", a(&other))),
        }
    }

    fn arithmetic(&mut self, operator: &str, left: &IdedExpr, right: &IdedExpr) -> Result<Type, String> {
        let (left, right) = (self.part(left)?, self.part(right)?);
        let result = match (operator, &left, &right) {
            (_, Type::Any, _) | (_, _, Type::Any) => Some(Type::Any),
            (operators::ADD, Type::List(first), Type::List(second)) => {
                Some(Type::List(Box::new(first.as_ref().clone().or(second))))
            }
            (operators::ADD, Type::String | Type::Bytes | Type::Duration, same) if *same == left => Some(left.clone()),
            (operators::ADD | operators::SUBSTRACT, Type::Timestamp, Type::Duration)
            | (operators::ADD, Type::Duration, Type::Timestamp) => Some(Type::Timestamp),
            (operators::SUBSTRACT, Type::Timestamp | Type::Duration, same) if *same == left => Some(Type::Duration),
            (operators::MODULO, Type::Double, _) => None,
            (_, number, same) if number.is_number() && number == same => Some(left.clone()),
            _ => None,
        };
        result.ok_or_else(|| {
            let done = match operator {
                operators::ADD => "added",
                operators::SUBSTRACT => "subtracted",
                operators::MULTIPLY => "multiplied",
                _ => "divided",
            };
            format!("{} and {} cannot be {done}", a(&left), a(&right))
        })
    }

    fn function(&mut self, call: &CallExpr) -> Result<Type, String> {
        let name = call.func_name.as_str();
        let is_namespace = |target: &IdedExpr| matches!(&target.expr, Expr::Ident(name) if name == "optional");
        if call.target.as_deref().is_some_and(is_namespace) {
            for argument in &call.args {
                self.part(argument)?;
            }
            return Ok(Type::Any);
        }
        let parts = call.target.as_deref().into_iter().chain(&call.args);
        let kinds = parts.map(|part| self.part(part)).collect::<Result<Vec<_>, _>>()?;
        match name {
            "size" => one(name, &kinds, "a string, a list or a map", |kind| {
                matches!(kind, Type::String | Type::Bytes | Type::List(_) | Type::Map(..))
            })
            .map(|()| Type::Int),
            "contains" => contains(&kinds),
            "startsWith" | "endsWith" => texts(name, &kinds),
            "matches" => texts(name, &kinds).and_then(|kind| check_pattern(call).map(|()| kind)),
            "string" => one(name, &kinds, "a value that is no list and no map", |kind| {
                !matches!(kind, Type::List(_) | Type::Map(..) | Type::Null | Type::Bool)
            })
            .map(|()| Type::String),
            "bytes" => one(name, &kinds, "a string", |kind| *kind == Type::String).map(|()| Type::Bytes),
            "double" => convertible(name, &kinds).map(|()| Type::Double),
            "int" => convertible(name, &kinds).map(|()| Type::Int),
            "uint" => convertible(name, &kinds).map(|()| Type::Uint),
            "duration" => one(name, &kinds, "a string", |kind| *kind == Type::String).map(|()| Type::Duration),
            "timestamp" => one(name, &kinds, "a string", |kind| *kind == Type::String).map(|()| Type::Timestamp),
            "getFullYear" | "getMonth" | "getDayOfYear" | "getDayOfMonth" | "getDate" | "getDayOfWeek" | "getHours"
            | "getMinutes" | "getSeconds" | "getMilliseconds" => {
                one(name, &kinds, "a timestamp or a duration", |kind| {
                    matches!(kind, Type::Timestamp | Type::Duration)
                })
                .map(|()| Type::Int)
            }
            "max" | "min" | "value" | "or" | "orValue" => Ok(Type::Any),
            "hasValue" => Ok(Type::Bool),
            other => Err(format!(
                "there is no function {other:?}; there are size, contains, startsWith, endsWith, matches, string, int and \
                 double"
            )),
        }
    }
}

/// Checks that a function has one argument, or a target and none.
fn one(name: &str, kinds: &[Type], takes: &str, fits: impl Fn(&Type) -> bool) -> Result<(), String> {
    match kinds {
        [kind] if *kind == Type::Any || fits(kind) => Ok(()),
        [kind] => Err(format!("{name} takes {takes} and not {}", a(kind))),
        _ => Err(format!("{name} takes 1 argument and not {}", kinds.len())),
    }
}

fn convertible(name: &str, kinds: &[Type]) -> Result<(), String> {
    one(name, kinds, "a string or a number", |kind| {
        *kind == Type::String || kind.is_number()
    })
}

fn texts(name: &str, kinds: &[Type]) -> Result<Type, String> {
    for kind in kinds {
        if !matches!(kind, Type::String | Type::Any) {
            return Err(format!("{name} takes a string and not {}", a(kind)));
        }
    }
    match kinds {
        [_, _] => Ok(Type::Bool),
        _ => Err(format!("{name} is written text.{name}('…')")),
    }
}

/// A part of a text; of a list, an item; of a map, a key.
fn contains(kinds: &[Type]) -> Result<Type, String> {
    match kinds {
        [Type::List(item) | Type::Map(item, _), found] if item.may_equal(found) => Ok(Type::Bool),
        [Type::List(_) | Type::Map(..), found] => Err(format!("it looks for {} in a {}", a(found), kinds[0])),
        [Type::Bytes, Type::Bytes] => Ok(Type::Bool),
        _ => texts("contains", kinds),
    }
}

fn check_pattern(call: &CallExpr) -> Result<(), String> {
    let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|argument| &argument.expr) else {
        return Ok(());
    };
    let pattern = pattern.inner();
    regex::Regex::new(pattern)
        .map(drop)
        .map_err(|_| format!("{pattern:?} is no regular expression (docs.rs/regex)"))
}

/// A comparison of `stage` with a text that is no stage is always false.
fn check_stage(stage: &IdedExpr, other: &IdedExpr) -> Result<(), String> {
    let (Expr::Ident(name), Expr::Literal(LiteralValue::String(text))) = (&stage.expr, &other.expr) else {
        return Ok(());
    };
    let text = text.inner();
    if name == "stage" && !STAGES.contains(&text) {
        return Err(format!("stage is \"input\" or \"output\" and never {text:?}"));
    }
    Ok(())
}
