//! JSON Schema of site.toml, for editors.

/// Draft 2020-12.
pub fn schema() -> serde_json::Value {
    todo!()
}
