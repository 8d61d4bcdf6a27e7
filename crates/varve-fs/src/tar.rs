//! Reading and writing tar.
