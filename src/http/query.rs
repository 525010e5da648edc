//! The parameters of a request target's query, as an HTML form writes them (the URL standard's
//! `application/x-www-form-urlencoded`): `+` is a space, `%XX` a byte, order and unknown names mean nothing.

use std::borrow::Cow;

/// All parameters in their order, decoded.
pub fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

/// The value of one parameter, decoded; of several with this name the last, as Django's `QueryDict` says.
#[must_use]
pub fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    let pairs = form_urlencoded::parse(query?.as_bytes());
    pairs
        .filter(|(other, _)| other == name)
        .map(|(_, value)| value)
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_read_by_its_decoded_name_wherever_it_stands() {
        for (query, value) in [
            ("room=a", Some("a")),
            ("limit=3&room=a", Some("a")),
            ("room=a&limit=3", Some("a")),
            ("x&&=&room=a&", Some("a")),
            ("r%6fom=%61", Some("a")),
            ("room=a+b%2Bc%26d%3D", Some("a b+c&d=")),
            ("room=a=b", Some("a=b")),
            ("room=a&room=b", Some("b")),
            ("room=a&room=", Some("")),
            ("room", Some("")),
            ("room=%zz%4", Some("%zz%4")),
            ("room=%FF", Some("\u{fffd}")),
            ("", None),
            ("Room=a", None),
            ("room2=a", None),
            ("xroom=a", None),
            ("x=room=a", None),
            ("x=1;room=a", None),
            ("room[]=a", None),
        ] {
            assert_eq!(parameter(Some(query), "room").as_deref(), value, "{query}");
        }
        assert_eq!(parameter(None, "room"), None);
    }
}
