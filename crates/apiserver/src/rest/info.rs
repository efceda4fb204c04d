//! Reads from method and path what a request is about: verb, resource, namespace, name.
//!
//! Does not know which resources exist.

use http::Method;

use super::query::Query;

/// What a request asks for, before anybody looked whether that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// get, list, watch, create, update, patch, delete, deletecollection; the method's own name
    /// in lower case for what is no resource.
    pub verb: &'static str,
    pub path: String,
    pub group: String,
    pub version: String,
    /// Empty for what is no resource.
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
}

impl RequestInfo {
    pub(crate) fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }

    /// `namespace/name`, or the name alone.
    pub(crate) fn key(&self) -> String {
        key_of(&self.namespace, &self.name)
    }

    pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let mut info = Self {
            verb: plain_verb(method),
            path: path.to_owned(),
            ..Self::default()
        };
        let decoded: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(super::query::decode_component)
            .collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return info,
        };
        let (watched, rest) = match rest {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            rest => (false, rest),
        };
        if rest.is_empty() {
            return info;
        }
        group.clone_into(&mut info.group);
        version.clone_into(&mut info.version);
        info.place(rest);
        info.verb = info.resource_verb(method, watched || query.flag("watch"), query);
        info
    }

    fn place(&mut self, rest: &[&str]) {
        let rest = match rest {
            // A namespace's own subresources are not resources in it.
            ["namespaces", name, sub @ ("status" | "finalize")] => {
                (*name).clone_into(&mut self.namespace);
                &["namespaces", *name, *sub][..]
            }
            ["namespaces", namespace, within @ ..] if !within.is_empty() => {
                (*namespace).clone_into(&mut self.namespace);
                return self.place_resource(within);
            }
            ["namespaces", name] => {
                (*name).clone_into(&mut self.namespace);
                rest
            }
            rest => rest,
        };
        self.place_resource(rest);
    }

    fn place_resource(&mut self, rest: &[&str]) {
        let mut parts = rest.iter().map(|part| (*part).to_owned());
        self.resource = parts.next().unwrap_or_default();
        self.name = parts.next().unwrap_or_default();
        self.subresource = parts.next().unwrap_or_default();
    }

    fn resource_verb(&mut self, method: &Method, watch: bool, query: &Query) -> &'static str {
        match *method {
            Method::GET | Method::HEAD if watch => {
                self.name_from_selector(query);
                "watch"
            }
            Method::GET | Method::HEAD if self.name.is_empty() => {
                self.name_from_selector(query);
                "list"
            }
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if self.name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ => plain_verb(method),
        }
    }

    /// A list of one name is authorized as that name.
    fn name_from_selector(&mut self, query: &Query) {
        if self.name.is_empty()
            && let Some(selector) = query.get("fieldSelector")
            && let Some(name) = selector.strip_prefix("metadata.name=")
            && !name.contains([',', '='])
        {
            name.clone_into(&mut self.name);
        }
    }
}

pub(crate) fn key_of(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

fn plain_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, path: &str, expected: [&str; 7]) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let info = RequestInfo::parse(method, path, &Query::parse(query));
        let got = [
            info.verb,
            &info.group,
            &info.version,
            &info.resource,
            &info.subresource,
            &info.namespace,
            &info.name,
        ];
        assert_eq!(got, expected, "{path}");
    }

    #[test]
    fn reads_what_a_path_is_about() {
        let get = Method::GET;
        check(&get, "/api/v1/pods", ["list", "", "v1", "pods", "", "", ""]);
        check(
            &get,
            "/api/v1/namespaces/n/pods?watch=1",
            ["watch", "", "v1", "pods", "", "n", ""],
        );
        check(
            &get,
            "/apis/a.b/v1/namespaces/n/ws/x/status",
            ["get", "a.b", "v1", "ws", "status", "n", "x"],
        );
        check(
            &Method::PUT,
            "/api/v1/namespaces/n/finalize",
            ["update", "", "v1", "namespaces", "finalize", "n", "n"],
        );
        check(
            &Method::DELETE,
            "/api/v1/namespaces/n",
            ["delete", "", "v1", "namespaces", "", "n", "n"],
        );
        check(
            &Method::POST,
            "/api/v1/namespaces",
            ["create", "", "v1", "namespaces", "", "", ""],
        );
        check(
            &Method::DELETE,
            "/api/v1/nodes",
            ["deletecollection", "", "v1", "nodes", "", "", ""],
        );
        check(&get, "/version", ["get", "", "", "", "", "", ""]);
        check(&get, "/apis/a.b/v1", ["get", "", "", "", "", "", ""]);
    }

    #[test]
    fn a_list_of_one_name_is_about_that_name() {
        let path = "/api/v1/nodes?fieldSelector=metadata.name%3Dx";
        check(&Method::GET, path, ["list", "", "v1", "nodes", "", "", "x"]);
    }
}
