//! Activities whose names are known only when the program runs.

use std::{cell::RefCell, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::Value;
use steadfast_payload::{pack, unpack};
use temporalio_common::{ActivityDefinition, data_converters::RawValue, error::ApplicationFailure};
use temporalio_sdk::{
    WorkerOptions,
    activities::{ActivityContext, ActivityDefinitions, ActivityError, ActivityImplementer, ExecutableActivity},
};

use super::{Handler, ToolError, tool_context};

thread_local! {
    /// The name that is being registered: the SDK asks for it by a function without arguments.
    static REGISTERING: RefCell<String> = const { RefCell::new(String::new()) };
}

/// One activity.
#[derive(Clone)]
pub struct DynamicActivity {
    name: String,
    handler: Handler,
}

impl DynamicActivity {
    pub(super) fn new(name: &str, handler: Handler) -> Self {
        Self {
            name: name.to_owned(),
            handler,
        }
    }

    /// Makes a worker serve it.
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
            let implementation = receiver.ok_or_else(|| failure(&ToolError::permanent("the tool is not there")))?;
            let arguments: Value = match input.payloads.first() {
                Some(payload) => unpack(payload).map_err(|error| failure(&ToolError::permanent(error.to_string())))?,
                None => Value::Null,
            };
            let context = tool_context(activity.info().attempt);
            let result = (implementation.0)(context, arguments)
                .await
                .map_err(|error| failure(&error))?;
            let payload = pack(&result).map_err(|error| failure(&ToolError::permanent(error.to_string())))?;
            Ok(RawValue::new(vec![payload]))
        }
        .boxed()
    }
}

fn failure(error: &ToolError) -> ActivityError {
    let is_permanent = matches!(error, ToolError::Permanent(_));
    let failure = ApplicationFailure::builder(std::io::Error::other(error.to_string()));
    let failure = failure.type_name("tool_error".to_owned()).non_retryable(is_permanent);
    ActivityError::application(failure.build())
}
