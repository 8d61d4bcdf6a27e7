//! Who is connected. When there is no room for another connection, the one that has asked for
//! nothing for the longest time has to go: who opens many and says little keeps nobody out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// All connections of a server.
#[derive(Clone)]
pub(crate) struct Crowd(Arc<Shared>);

struct Shared {
    room: Arc<Semaphore>,
    still: Mutex<Still>,
}

/// Connections on which no request is going on, the one that is longest so first.
#[derive(Default)]
struct Still {
    next: u64,
    told: BTreeMap<u64, Arc<Notify>>,
}

/// One connection's place. Cheap to clone; free again when the last clone is gone.
#[derive(Clone)]
pub(crate) struct Place(Arc<Taken>);

struct Taken {
    crowd: Arc<Shared>,
    leave: Arc<Notify>,
    /// Its number among those that are still; `None` while a request is going on.
    number: Mutex<Option<u64>>,
    _permit: OwnedSemaphorePermit,
}

/// A request is going on, until this is dropped.
pub(crate) struct Busy(Place);

impl Crowd {
    pub(crate) fn new(connections_max: usize) -> Self {
        let room = Arc::new(Semaphore::new(connections_max));
        Self(Arc::new(Shared { room, still: Mutex::default() }))
    }

    /// A place, as soon as there is one.
    pub(crate) async fn enter(&self) -> Option<Place> {
        let room = Arc::clone(&self.0.room);
        let permit = if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
            permit
        } else {
            if let Some((_, longest)) = lock(&self.0.still).told.pop_first() {
                longest.notify_one();
            }
            room.acquire_owned().await.ok()?
        };
        let (crowd, leave) = (Arc::clone(&self.0), Arc::new(Notify::new()));
        let place =
            Place(Arc::new(Taken { crowd, leave, number: Mutex::new(None), _permit: permit }));
        place.keep_still();
        Some(place)
    }
}

impl Place {
    /// Returns when the connection has to go.
    pub(crate) async fn wanted(&self) {
        self.0.leave.notified().await;
    }

    /// Whether a request is going on.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.0.number).is_none()
    }

    /// A request begins.
    pub(crate) fn begin(&self) -> Busy {
        if let Some(number) = lock(&self.0.number).take() {
            lock(&self.0.crowd.still).told.remove(&number);
        }
        Busy(self.clone())
    }

    fn keep_still(&self) {
        let mut still = lock(&self.0.crowd.still);
        let number = still.next;
        still.next += 1;
        still.told.insert(number, Arc::clone(&self.0.leave));
        *lock(&self.0.number) = Some(number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.keep_still();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(number) = *lock(&self.number) {
            lock(&self.crowd.still).told.remove(&number);
        }
    }
}

impl std::fmt::Debug for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Busy")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
