//! The one parameter of a query that carries a credential.

/// What a request carries of one kind of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried<'a> {
    /// Nothing.
    Nothing,
    /// One, not looked into.
    One(&'a str),
    /// More than one in the same place, or bytes that no credential has: nobody knows which is meant.
    Unclear,
}

/// The one of these values; unclear if it is no text.
pub(super) fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Carried<'a> {
    match (values.next(), values.next()) {
        (None, _) => Carried::Nothing,
        (Some(value), None) => str::from_utf8(value).map_or(Carried::Unclear, Carried::One),
        (Some(_), Some(_)) => Carried::Unclear,
    }
}

/// The parameter's value, as it stands: no credential needs percent-encoding, but for the colons of a link, which
/// its reader decodes.
pub(super) fn parameter<'a>(target: &'a str, name: &str) -> Carried<'a> {
    let Some((_, query)) = target.split_once('?') else {
        return Carried::Nothing;
    };
    let mut values = query.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    });
    match (values.next(), values.next()) {
        (None, _) => Carried::Nothing,
        (Some(value), None) => Carried::One(value),
        (Some(_), Some(_)) => Carried::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_there_once_or_it_is_unclear_which_is_meant() {
        for (target, carried) in [
            ("/", Carried::Nothing),
            ("/?", Carried::Nothing),
            ("/?tokens=a", Carried::Nothing),
            ("/?x=token=a", Carried::Nothing),
            ("/?token=a", Carried::One("a")),
            ("/?x=1&token=a&y", Carried::One("a")),
            ("/?token", Carried::One("")),
            ("/?token=a=b", Carried::One("a=b")),
            ("/?token=a&token=a", Carried::Unclear),
            ("/?token&token=a", Carried::Unclear),
        ] {
            assert_eq!(parameter(target, "token"), carried, "{target}");
        }
    }
}
