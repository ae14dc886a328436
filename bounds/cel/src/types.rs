//! The types of expressions. An expression whose types do not fit has no error when it
//! is evaluated: it is false. Each rule here is one of CEL's type checker, as far as the
//! library evaluates it.

mod calls;

use std::fmt;

use ::cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};

/// The type of a part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Anything: the checker does not know it.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    List(Box<Type>),
    /// The types of the keys and of the values.
    Map(Box<Type>, Box<Type>),
}

impl Type {
    const fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether a value of one type can be equal to one of the other. Numbers of different types are never equal to the
    /// library.
    fn may_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(left), Self::List(right)) => left.may_equal(right),
            (Self::Map(left, left_value), Self::Map(right, right_value)) => {
                left.may_equal(right) && left_value.may_equal(right_value)
            }
            (left, right) => left == right,
        }
    }

    /// Whether one is before the other.
    fn is_ordered_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(_) | Self::Map(..) | Self::Null, _) => false,
            (left, right) => left == right || (left.is_number() && right.is_number()),
        }
    }

    /// The type of what is one of both.
    fn or(self, other: &Self) -> Self {
        if self == *other { self } else { Self::Any }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("any"),
            Self::Null => formatter.write_str("null"),
            Self::Bool => formatter.write_str("bool"),
            Self::Int => formatter.write_str("int"),
            Self::Uint => formatter.write_str("uint"),
            Self::Double => formatter.write_str("double"),
            Self::String => formatter.write_str("string"),
            Self::Bytes => formatter.write_str("bytes"),
            Self::Duration => formatter.write_str("duration"),
            Self::Timestamp => formatter.write_str("timestamp"),
            Self::List(item) => write!(formatter, "list of {item}"),
            Self::Map(_, value) => write!(formatter, "map of {value}"),
        }
    }
}

/// The type with its article: "a string", "an int", "null".
fn a(kind: &Type) -> String {
    match kind {
        Type::Null => "null".to_owned(),
        Type::Int | Type::Any => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}

/// What is known of an expression.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// It refers to no variable.
    pub(crate) is_constant: bool,
    /// How many loops are within each other.
    pub(crate) nested_loops: usize,
}

/// Checks an expression; the error says what does not fit.
pub(crate) fn check(expression: &Expr) -> Result<Facts, String> {
    let mut checker = Checker {
        variables: Vec::new(),
        facts: Facts {
            is_constant: true,
            nested_loops: 0,
        },
        loops: 0,
    };
    match checker.expression(expression)? {
        Type::Bool | Type::Any => Ok(checker.facts),
        other => Err(format!("it returns {}; it must return a bool", a(&other))),
    }
}

/// The variables of every expression; each is a text.
const VARIABLES: [&str; 3] = ["text", "stage", "agent"];

struct Checker {
    /// The variables of loops, the innermost last.
    variables: Vec<(String, Type)>,
    facts: Facts,
    loops: usize,
}

impl Checker {
    fn part(&mut self, part: &IdedExpr) -> Result<Type, String> {
        self.expression(&part.expr)
    }

    fn expression(&mut self, expression: &Expr) -> Result<Type, String> {
        match expression {
            Expr::Literal(literal) => Ok(literal_type(literal)),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.member(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                let mut item = None;
                for element in &list.elements {
                    let kind = self.part(element)?;
                    item = Some(item.map_or_else(|| kind.clone(), |item: Type| item.or(&kind)));
                }
                Ok(Type::List(Box::new(item.unwrap_or(Type::Any))))
            }
            Expr::Map(map) => {
                let mut kinds: Option<(Type, Type)> = None;
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err("it makes an object of a type; there are no types here".to_owned());
                    };
                    let (key, value) = (self.part(&entry.key)?, self.part(&entry.value)?);
                    kinds = Some(match kinds {
                        None => (key, value),
                        Some((keys, values)) => (keys.or(&key), values.or(&value)),
                    });
                }
                let (key, value) = kinds.unwrap_or((Type::Any, Type::Any));
                Ok(Type::Map(Box::new(key), Box::new(value)))
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(made) => Err(format!("there is no type {:?}", made.type_name)),
            Expr::Unspecified => Err("it has a part that means nothing".to_owned()),
        }
    }

    fn variable(&mut self, name: &str) -> Result<Type, String> {
        if let Some((_, kind)) = self.variables.iter().rev().find(|(variable, _)| variable == name) {
            return Ok(kind.clone());
        }
        if VARIABLES.contains(&name) {
            self.facts.is_constant = false;
            return Ok(Type::String);
        }
        Err(format!(
            "there is no variable {name:?}; there are text, stage and agent"
        ))
    }

    fn member(&mut self, select: &SelectExpr) -> Result<Type, String> {
        match self.part(&select.operand)? {
            Type::Any => Ok(if select.test { Type::Bool } else { Type::Any }),
            Type::Map(_, value) => Ok(if select.test { Type::Bool } else { *value }),
            other => Err(format!("{} has no member {:?}", a(&other), select.field)),
        }
    }

    /// A macro over a list, as the parser writes it: `all`, `exists`, `map`, `filter`.
    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Result<Type, String> {
        let item = match self.part(&comprehension.iter_range)? {
            Type::List(item) => *item,
            Type::Map(key, _) => *key,
            Type::Any => Type::Any,
            other => return Err(format!("{} is no list", a(&other))),
        };
        let result = self.part(&comprehension.accu_init)?;
        // What a list gets is not known before its loop is checked.
        let result = match result {
            Type::List(_) => Type::List(Box::new(Type::Any)),
            other => other,
        };
        self.loops += 1;
        self.facts.nested_loops = self.facts.nested_loops.max(self.loops);
        let outside = self.variables.len();
        self.variables.push((comprehension.accu_var.clone(), result));
        self.variables.push((comprehension.iter_var.clone(), item));
        if let Some(second) = &comprehension.iter_var2 {
            self.variables.push((second.clone(), Type::Any));
        }
        self.part(&comprehension.loop_cond)?;
        self.part(&comprehension.loop_step)?;
        let result = self.part(&comprehension.result)?;
        self.variables.truncate(outside);
        self.loops -= 1;
        Ok(result)
    }
}

const fn literal_type(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::String,
        LiteralValue::UInt(_) => Type::Uint,
    }
}
