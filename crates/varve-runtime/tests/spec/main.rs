//! Specs of containers against docker's, and what they say where docker was not recorded.

mod build;
mod choices;
mod golden;
mod limits;
mod made;
mod runc;
