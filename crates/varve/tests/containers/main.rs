//! Containers as their users have them: the built program, real servers, changed images.

mod real;
mod world;
