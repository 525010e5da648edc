//! One page without outside resources: a template whose script draws the JSON in it.

use serde_json::Value;

const TEMPLATE: &str = include_str!("page.html");

/// The page of these figures. Text of the server cannot become markup: no `<` of it is left.
pub(crate) fn page(name: &str, json: &Value) -> String {
    let json = json.to_string().replace('<', "\\u003c");
    let page = TEMPLATE.replacen("{name}", name, 1);
    page.replacen("{json}", &json, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_server_cannot_become_markup_and_stays_what_it_was() {
        let json = serde_json::json!({"why": "</script><b>&"});
        let page = page("echo", &json);
        assert!(!page.contains("<b>&"), "{page}");
        let (_, data) = page.split_once("id=run>").unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        assert_eq!(serde_json::from_str::<Value>(data).unwrap(), json);
    }
}
