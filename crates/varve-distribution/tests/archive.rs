//! Image archives: what is saved, what is loaded, and what is refused in which words.

#[path = "archive/made.rs"]
mod made;

#[path = "archive/import.rs"]
mod import;
#[path = "archive/interop.rs"]
mod interop;
#[path = "archive/load.rs"]
mod load;
#[path = "archive/refused.rs"]
mod refused;
#[path = "archive/save.rs"]
mod save;
