//! What holds on a route: the node's settings, or the route's own. A connection knows the number of its route's from
//! when it opens, so nothing is looked up by a path.

/// A value of the node, and those of routes that have their own.
#[derive(Clone, Debug)]
pub struct PerRoute<T> {
    node: T,
    routes: Vec<T>,
}

impl<T> PerRoute<T> {
    /// The node's, and those of routes by number from 1.
    pub(super) fn new(node: T, routes: Vec<T>) -> Self {
        Self { node, routes }
    }

    /// The same of what these become.
    pub(super) fn map<U>(&self, become_of: impl Fn(&T) -> U) -> PerRoute<U> {
        PerRoute {
            node: become_of(&self.node),
            routes: self.routes.iter().map(become_of).collect(),
        }
    }

    /// What holds where a connection came in: the number is its role's, 0 for the node's.
    #[must_use]
    #[inline]
    pub fn of(&self, settings: u8) -> &T {
        match settings {
            0 => &self.node,
            number => {
                let own = self.routes.get(usize::from(number) - 1);
                own.unwrap_or(&self.node)
            }
        }
    }
}
