//! Tests about the repository itself: who may use whom, how code is cut and named, what it is
//! licensed under, and whether its documents are true.

mod documents;
mod licences;
mod names;
mod rules;
mod sizes;
mod source;
mod walls;
