use forge_core::error::Result;
pub fn leaderboard(_v: u32, _a: u32) -> Result<serde_json::Value> { Ok(serde_json::Value::Null) }
pub fn live(_c: u32, _e: u32) -> Result<serde_json::Value> { Ok(serde_json::Value::Null) }
