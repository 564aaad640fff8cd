//! What happens, in order: the event stream, live telemetry, the log, and the charts drawn from them.
//! What this room refuses to hold: any opinion about what an event means, and any window to show it in.
pub mod charts;
pub mod events;
pub mod log;
pub mod redact;
pub mod telemetry;
