//! The names of a directory, in the order of their bytes.
//!
//! Most tars list a directory's names in order, and each of them is then put behind the others.
//! What comes out of order is kept in a tree beside that list, so that no order makes it slow.

use std::{
    collections::{BTreeMap, btree_map},
    iter::Peekable,
    slice,
};

use super::InodeId;

type Name = Box<[u8]>;

/// Names and what they lead to. A name is in one of the two.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Those that came in order.
    ordered: Vec<(Name, InodeId)>,
    /// All others.
    late: BTreeMap<Name, InodeId>,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.ordered.len() + self.late.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<InodeId> {
        match self.find(name) {
            Ok(place) => Some(self.ordered[place].1),
            Err(_) => self.late.get(name).copied(),
        }
    }

    /// Puts a name in, in the place of the same one, which is returned.
    pub(super) fn insert(&mut self, name: &[u8], id: InodeId) -> Option<InodeId> {
        match self.find(name) {
            Ok(place) => Some(std::mem::replace(&mut self.ordered[place].1, id)),
            Err(place) if place == self.ordered.len() => {
                let late = self.late.get_mut(name).map(|there| std::mem::replace(there, id));
                if late.is_none() {
                    self.ordered.push((name.into(), id));
                }
                late
            }
            Err(_) => self.late.insert(name.into(), id),
        }
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        match self.find(name) {
            // Those behind it move up: few names are ever taken out.
            Ok(place) => drop(self.ordered.remove(place)),
            Err(_) => drop(self.late.remove(name)),
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        Iter { ordered: self.ordered.iter(), late: self.late.iter().peekable() }
    }

    /// Where a name is among those that came in order, or would be.
    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        match self.ordered.last() {
            Some((last, _)) if **last < *name => Err(self.ordered.len()),
            None => Err(0),
            Some(_) => self.ordered.binary_search_by(|(there, _)| (**there).cmp(name)),
        }
    }
}

/// Goes through names in order.
#[derive(Debug)]
pub(super) struct Iter<'a> {
    ordered: slice::Iter<'a, (Name, InodeId)>,
    late: Peekable<btree_map::Iter<'a, Name, InodeId>>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], InodeId);

    fn next(&mut self) -> Option<Self::Item> {
        let late_is_next = self.late.peek().is_some_and(|(late, _)| {
            self.ordered.as_slice().first().is_none_or(|(ordered, _)| *late < ordered)
        });
        if late_is_next {
            self.late.next().map(|(name, id)| (&**name, *id))
        } else {
            self.ordered.next().map(|(name, id)| (&**name, *id))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All orders of five names, one of them twice, against a plain map.
    #[test]
    fn names_are_in_order_whatever_order_they_came_in() {
        for number in 0..5_usize.pow(6) {
            let (mut names, mut plain) = (Names::default(), BTreeMap::new());
            let mut rest = number;
            for step in 0..6 {
                let name = [b'a' + (rest % 5) as u8];
                rest /= 5;
                if step == 4 && number % 3 == 0 {
                    names.remove(&name);
                    plain.remove(&name[..]);
                } else {
                    let id = InodeId(step);
                    assert_eq!(names.insert(&name, id), plain.insert(name.to_vec(), id));
                }
            }
            let listed: Vec<_> = names.iter().map(|(name, id)| (name.to_vec(), id)).collect();
            assert_eq!(listed, plain.clone().into_iter().collect::<Vec<_>>(), "{number}");
            assert_eq!(names.len(), plain.len());
            for name in b'a'..b'g' {
                assert_eq!(names.get(&[name]), plain.get(&[name][..]).copied());
            }
        }
    }
}
