//! The functions of expressions: those of the library, with the size of a text as CEL
//! defines it, its number of Unicode code points
//! (<https://github.com/google/cel-spec/blob/master/doc/langdef.md>, "size").

use ::cel::{Context, ExecutionError, Value, extractors::This};

pub(crate) fn add(context: &mut Context<'_>) {
    context.add_function("size", size);
}

fn size(This(value): This<Value>) -> Result<i64, ExecutionError> {
    let size = match value {
        Value::String(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.len(),
        Value::Map(members) => members.map.len(),
        other => {
            let message = format!("a {} has no size", other.type_of());
            return Err(ExecutionError::function_error("size", message));
        }
    };
    Ok(i64::try_from(size).unwrap_or(i64::MAX))
}
