//! Activities whose names are known only at run time: the tools and hooks of a
//! Rust developer.

use std::{cell::RefCell, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::Value;
use steadfast_payload::{pack, unpack};
use temporalio_common::{ActivityDefinition, data_converters::RawValue};
use temporalio_sdk::{
    WorkerOptions,
    activities::{ActivityContext, ActivityDefinitions, ActivityError, ActivityImplementer, ExecutableActivity},
};

use crate::{
    failure::{ActivityFailure, CallFailure},
    tool_api::{ToolContext, ToolError},
};

thread_local! {
    /// The name under registration: the SDK asks for it through a function without arguments.
    static REGISTERING: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The code of an activity, with JSON arguments and a JSON result.
pub(crate) type Handler = Arc<dyn Fn(ToolContext, Value) -> BoxFuture<'static, Result<Value, ToolError>> + Send + Sync>;

/// One activity.
#[derive(Clone)]
pub(crate) struct DynamicActivity {
    name: String,
    handler: Handler,
}

impl DynamicActivity {
    pub(crate) fn new(name: &str, handler: Handler) -> Self {
        Self {
            name: name.to_owned(),
            handler,
        }
    }

    /// Registers the activity with a worker.
    pub(crate) fn register(self, options: &mut WorkerOptions) {
        REGISTERING.with(|name| name.borrow_mut().clone_from(&self.name));
        options.register_activity::<Named>(Arc::new(Implementation(self.handler)));
    }
}

struct Named(String);

impl ActivityDefinition for Named {
    type Input = RawValue;
    type Output = RawValue;

    fn name(&self) -> &str {
        &self.0
    }
}

struct Implementation(Handler);

impl ActivityImplementer for Implementation {
    fn register_all(self: Arc<Self>, definitions: &mut ActivityDefinitions) {
        definitions.register_activity::<Named>(self);
    }
}

impl ExecutableActivity for Named {
    type Implementer = Implementation;
    const REQUIRES_INSTANCE: bool = true;

    fn definition() -> Self {
        Self(REGISTERING.with(|name| name.borrow().clone()))
    }

    fn execute(
        receiver: Option<Arc<Implementation>>,
        activity: ActivityContext,
        input: RawValue,
    ) -> BoxFuture<'static, Result<RawValue, ActivityError>> {
        async move {
            let result = run(receiver, &activity, &input).await;
            result.map_err(|failure| ActivityFailure::from(failure).into_failure())
        }
        .boxed()
    }
}

async fn run(
    implementation: Option<Arc<Implementation>>,
    activity: &ActivityContext,
    input: &RawValue,
) -> Result<RawValue, CallFailure> {
    let implementation = implementation.ok_or_else(|| ToolError::permanent("the tool has no implementation"))?;
    let arguments: Value = match input.payloads.first() {
        Some(payload) => unpack(payload).map_err(|error| ToolError::permanent(error.to_string()))?,
        None => Value::Null,
    };
    let context = ToolContext::current(activity.info().attempt);
    let result = (implementation.0)(context, arguments).await?;
    let payload = pack(&result).map_err(|error| ToolError::permanent(error.to_string()))?;
    Ok(RawValue::new(vec![payload]))
}
