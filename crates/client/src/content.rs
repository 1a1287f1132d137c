//! Bytes with their media type.

use bytes::Bytes;

/// The bytes of an input or an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Their media type.
    pub media_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

impl Content {
    /// Reads the bytes as JSON.
    ///
    /// # Errors
    /// They are not JSON, or not of this shape.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.bytes)
    }
}
