//! Which functions are handlers.

use std::future::Future;

use crate::{Context, FromContext, FromInput, IntoOutput, JobError, Output};

/// An async function of an input and up to six extractors that returns an output or a [`JobError`].
///
/// `Args` are the types of its arguments, `S` is the worker's state; both are inferred.
///
/// What is no handler is refused in our words:
///
/// ```compile_fail
/// use clerkwork_worker::{JobError, Worker};
/// async fn wrong(input: String, thread: std::thread::Thread) -> Result<(), JobError> { Ok(()) }
/// Worker::new(()).queue("q", wrong); // `wrong` is not a Clerkwork handler
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a Clerkwork handler",
    label = "not a handler",
    note = "a handler is `async fn(input, up to six extractors) -> Result<output, JobError>`: the \
            input is `Input` or implements `serde::Deserialize`, the extractors implement \
            `FromContext`, the output is `Output` or implements `serde::Serialize`"
)]
pub trait Handler<Args, S>: Send + Sync + 'static {
    /// Runs one attempt.
    fn call(&self, context: Context<S>) -> impl Future<Output = Result<Output, JobError>> + Send;
}

/// Makes handlers of the functions with these extractors after the input.
macro_rules! handler {
    ($($extractor:ident),*) => {
        #[diagnostic::do_not_recommend]
        impl<S, F, Running, I, O, E, $($extractor,)*> Handler<(I, $($extractor,)*), S> for F
        where
            F: Fn(I, $($extractor,)*) -> Running + Send + Sync + 'static,
            Running: Future<Output = Result<O, E>> + Send,
            S: Send + Sync + 'static,
            I: FromInput + Send,
            O: IntoOutput,
            E: Into<JobError>,
            $($extractor: FromContext<S> + Send,)*
        {
            async fn call(&self, context: Context<S>) -> Result<Output, JobError> {
                let input = I::from_input(&context.call.input)?;
                let running = self(input, $($extractor::from_context(&context)?,)*);
                drop(context);
                running.await.map_err(Into::into)?.into_output()
            }
        }
    };
}

handler!();
handler!(A);
handler!(A, B);
handler!(A, B, C);
handler!(A, B, C, D);
handler!(A, B, C, D, G);
handler!(A, B, C, D, G, H);
