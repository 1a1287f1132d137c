//! PostgreSQL under faults.

use clerkwork_store::conformance::{End, Open};
use clerkwork_store::postgres;

use crate::{schemas, stores};

stores::claims!(parts().await);

async fn parts() -> (Open, End) {
    let options = schemas::schema().await;
    postgres::migrate(&options).await.unwrap();
    let opened = options.clone();
    let open = Box::new(move || {
        let options = opened.clone();
        Box::pin(async move { postgres::open(options).await }) as _
    });
    let end = Box::new(move || Box::pin(schemas::drop_schema(options)) as _);
    (open, end)
}
