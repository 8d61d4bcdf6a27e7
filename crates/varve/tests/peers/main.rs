//! varve beside other programs: skopeo and umoci read its store, docker-registry takes and gives
//! images, a real root file system goes the whole way, processes are killed and crowd the store.

mod crowd;
mod debian;
mod killed;
mod layout;
mod place;
mod registries;
