//! The secrets that seal correlation ids, as both databases keep them.

use clerkwork_core::Secret;
use sqlx_macros::FromRow;

use crate::Error;
use crate::rows::corrupt;

/// A row of `secrets`.
#[derive(FromRow)]
pub(crate) struct SecretCells {
    id: i16,
    bytes: Vec<u8>,
}

impl SecretCells {
    pub(crate) fn secret(self) -> Result<Secret, Error> {
        let bad = || corrupt("secrets", format!("secret {}", self.id));
        Ok(Secret {
            id: u8::try_from(self.id).map_err(|_| bad())?,
            bytes: self.bytes.as_slice().try_into().map_err(|_| bad())?,
        })
    }
}
