//! [`Auths`]: several in one application, each below a path of its own.

use std::sync::{PoisonError, RwLock};

use super::Auth;

/// Several [`Auth`]s of one application, each for the paths below one of its own: what an adapter keeps where its
/// framework knows no scopes. Of those that a path is below, the one with the longest counts.
///
/// Paths are compared segment by segment, and are to be percent-decoded as the framework's router decodes them.
#[derive(Debug, Default)]
pub struct Auths(RwLock<Vec<(Vec<String>, Auth)>>);

impl Auths {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one for the paths below `base`, in the place of an earlier one for the same.
    pub fn insert<'a>(&self, base: impl IntoIterator<Item = &'a str>, auth: Auth) {
        let base: Vec<_> = base.into_iter().map(str::to_owned).collect();
        let mut auths = self.0.write().unwrap_or_else(PoisonError::into_inner);
        auths.retain(|(other, _)| *other != base);
        // The longest first.
        let at = auths.partition_point(|(other, _)| other.len() > base.len());
        auths.insert(at, (base, auth));
    }

    /// The one that counts for a path.
    pub fn get<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<Auth> {
        let path: Vec<_> = path.into_iter().collect();
        let auths = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_below =
            |base: &[String]| path.len() >= base.len() && path.iter().zip(base).all(|(a, b)| a == b);
        auths.iter().find(|(base, _)| is_below(base)).map(|(_, auth)| auth.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_longest_path_counts() {
        let auths = Auths::new();
        let [all, admin, deep, other] = std::array::from_fn(|_| Auth::sessions().build().unwrap());
        let found = |path: &str| {
            let auth = auths.get(path.split('/').filter(|segment| !segment.is_empty()));
            auth.map(|auth| [&all, &admin, &deep, &other].iter().position(|one| Arc::ptr_eq(&one.0, &auth.0)))
        };
        assert_eq!(found("/admin"), None);
        auths.insert(["admin"], admin.clone());
        assert_eq!(found("/administrator"), None);
        auths.insert(["admin", "deep"], deep.clone());
        auths.insert([], all.clone());
        for (path, expected) in
            [("/", 0), ("/deep", 0), ("/admin", 1), ("/admin/x", 1), ("/admin/deep/x", 2), ("/adm", 0)]
        {
            assert_eq!(found(path), Some(Some(expected)), "{path}");
        }
        auths.insert(["admin"], other.clone());
        assert_eq!(found("/admin/x"), Some(Some(3)));
    }
}
