use forge_core::error::Result;
pub fn run(_v: u32, _o: u32) -> Result<serde_json::Value> { Ok(serde_json::Value::Null) }
