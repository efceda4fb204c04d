//! Answers HTTP requests: which path wants what, in which form, and how large.
//!
//! Does not know TLS, nor what a review says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body;
use serde_json::Value;
use tintype_core::validation::Rules;
use tintype_runtime::{Chain, ReviewMetrics};

use crate::classes::Classes;
use crate::pair::Shown;
use crate::review::{Admission, BadReview, Set, converted};

/// One object twice, each as large as a server stores, and room to spare.
const LARGEST_ADMISSION: usize = 16 << 20;
/// All objects of a list that a server holds in memory.
const LARGEST_CONVERSION: usize = 64 << 20;
/// What upstream gives a body to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request that gets no review for an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is nothing at {path}; reviews are answered at {known}")]
    NoPage { path: String, known: &'static str },
    #[error(
        "group snapshots are not validated here; start the webhook with --enable-volume-group-snapshot-webhook"
    )]
    NoGroups,
    #[error("{path} takes {wanted}, not {method}")]
    Method {
        path: &'static str,
        method: Method,
        wanted: &'static str,
    },
    #[error("invalid Content-Type header `{found}`; send {wanted}")]
    ContentType { found: String, wanted: &'static str },
    #[error("invalid accept header `{0}`; application/json and application/yaml are spoken here")]
    Accept(String),
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive within {} seconds", PATIENCE.as_secs())]
    TooSlow,
    #[error("the body did not arrive: {0}")]
    Broken(String),
    #[error(transparent)]
    Review(#[from] BadReview),
    #[error("cannot find out which classes there are: {0}")]
    Classes(String),
    #[error("the answer cannot be written: {0}")]
    Answer(String),
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NoPage { .. } | Self::NoGroups => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType { .. } | Self::Accept(_) | Self::Review(_) | Self::Broken(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Classes(_) | Self::Answer(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Yaml,
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }

    fn read(self, body: &[u8]) -> Result<Value, BadReview> {
        match self {
            Self::Json => {
                serde_json::from_slice(body).map_err(|it| BadReview::NotJson(it.to_string()))
            }
            Self::Yaml => {
                serde_yaml_ng::from_slice(body).map_err(|it| BadReview::NotYaml(it.to_string()))
            }
        }
    }

    fn write(self, value: &Value) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Json => serde_json::to_vec(value).map_err(|it| Refusal::Answer(it.to_string())),
            Self::Yaml => serde_yaml_ng::to_string(value)
                .map(String::into_bytes)
                .map_err(|it| Refusal::Answer(it.to_string())),
        }
    }
}

/// What there is to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Ready,
    Convert,
    Validate(Set),
}

impl Page {
    const PATHS: &'static str = "/convert, /volumesnapshot and /volumegroupsnapshot";

    fn at(path: &str) -> Option<Self> {
        match path {
            "/readyz" => Some(Self::Ready),
            "/convert" => Some(Self::Convert),
            "/volumesnapshot" => Some(Self::Validate(Set::Single)),
            "/volumegroupsnapshot" => Some(Self::Validate(Set::Group)),
            _ => None,
        }
    }

    /// Also the label in metrics, so no path of a stranger's making gets there.
    const fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::Convert => "/convert",
            Self::Validate(Set::Single) => "/volumesnapshot",
            Self::Validate(Set::Group) => "/volumegroupsnapshot",
        }
    }

    const fn largest(self) -> usize {
        match self {
            Self::Convert => LARGEST_CONVERSION,
            Self::Ready | Self::Validate(_) => LARGEST_ADMISSION,
        }
    }
}

/// What answers.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) rules: Rules,
    /// Group snapshots are validated too.
    pub(crate) groups: bool,
    /// None without access to a Kubernetes API.
    pub(crate) classes: Option<Classes>,
    pub(crate) metrics: ReviewMetrics,
    pub(crate) shown: Shown,
}

/// An answer, and what became of the question.
struct Said {
    form: Form,
    review: Value,
    outcome: &'static str,
}

impl Pages {
    pub(crate) async fn answer<B>(self: Arc<Self>, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let began = Instant::now();
        let page = Page::at(request.uri().path());
        if page == Some(Page::Ready) {
            return self.ready();
        }
        let said = self.review(page, request).await;
        let path = page.map_or("other", Page::path);
        let (response, outcome) = match said {
            Ok((said, body)) => (
                reply(StatusCode::OK, said.form.name(), body),
                said.outcome.to_owned(),
            ),
            Err(refusal) => {
                let status = refusal.status();
                tracing::debug!(path, %status, refusal = %Chain(&refusal), "a request was refused");
                let mut response = reply(
                    status,
                    "text/plain; charset=utf-8",
                    format!("{refusal}\n").into_bytes(),
                );
                if let Refusal::Method { .. } = refusal {
                    response
                        .headers_mut()
                        .insert(ALLOW, HeaderValue::from_static("POST"));
                }
                (response, status.as_str().to_owned())
            }
        };
        self.metrics.answered(path, &outcome, began.elapsed());
        response
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        // Whoever can ask has seen a certificate; a probe in the clear may not.
        if self.shown.is_some() {
            reply(StatusCode::OK, "text/plain; charset=utf-8", b"ok".to_vec())
        } else {
            let text = b"there is no certificate yet".to_vec();
            reply(
                StatusCode::SERVICE_UNAVAILABLE,
                "text/plain; charset=utf-8",
                text,
            )
        }
    }

    async fn review<B>(
        &self,
        page: Option<Page>,
        request: Request<B>,
    ) -> Result<(Said, Vec<u8>), Refusal>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let page = match page {
            None => {
                let path = request.uri().path().to_owned();
                return Err(Refusal::NoPage {
                    path,
                    known: Page::PATHS,
                });
            }
            Some(Page::Validate(Set::Group)) if !self.groups => return Err(Refusal::NoGroups),
            Some(page) => page,
        };
        if request.method() != Method::POST {
            let method = request.method().clone();
            return Err(Refusal::Method {
                path: page.path(),
                method,
                wanted: "POST",
            });
        }
        let sent = sent_as(request.headers(), page)?;
        let wanted = wanted_as(request.headers(), page, sent)?;
        let body = whole(request.into_body(), page.largest()).await?;
        let review = sent.read(&body)?;
        drop(body);
        let (review, outcome) = match page {
            Page::Validate(set) => self.admit(review, set).await?,
            Page::Convert | Page::Ready => {
                let (review, all) = converted(review)?;
                (review, if all { "converted" } else { "failed" })
            }
        };
        let said = Said {
            form: wanted,
            review,
            outcome,
        };
        let body = said.form.write(&said.review)?;
        Ok((said, body))
    }

    async fn admit(&self, review: Value, set: Set) -> Result<(Value, &'static str), Refusal> {
        let admission = Admission::read(review, set)?;
        let classes = match (admission.needs_classes(), &self.classes) {
            (Some(kind), Some(classes)) => {
                let all = classes.all(kind).await;
                Some(all.map_err(|error| Refusal::Classes(Chain(&error).to_string()))?)
            }
            (None, _) | (_, None) => None,
        };
        let answer = admission.answer(self.rules, classes.as_deref());
        Ok((
            answer.review,
            if answer.allowed { "allowed" } else { "denied" },
        ))
    }
}

/// Upstream takes YAML for conversions only, and a type without parameters only.
fn sent_as(headers: &HeaderMap, page: Page) -> Result<Form, Refusal> {
    let found = headers
        .get(CONTENT_TYPE)
        .map_or("", |it| it.to_str().unwrap_or("not text"));
    let media = found.split(';').next().unwrap_or_default().trim();
    match (page, media.to_ascii_lowercase().as_str()) {
        (_, "application/json") => Ok(Form::Json),
        (Page::Convert, "application/yaml") => Ok(Form::Yaml),
        (Page::Convert, _) => Err(Refusal::ContentType {
            found: found.to_owned(),
            wanted: "application/json or application/yaml",
        }),
        (Page::Validate(_) | Page::Ready, _) => Err(Refusal::ContentType {
            found: found.to_owned(),
            wanted: "application/json",
        }),
    }
}

fn wanted_as(headers: &HeaderMap, page: Page, sent: Form) -> Result<Form, Refusal> {
    let Some(accept) = headers.get(ACCEPT).filter(|_| page == Page::Convert) else {
        return Ok(if page == Page::Convert {
            Form::Json
        } else {
            sent
        });
    };
    let accept = accept.to_str().unwrap_or("not text");
    let found = accept.split(',').find_map(|range| {
        let media = range.split(';').next().unwrap_or_default().trim();
        match media {
            "application/json" | "application/*" | "*/*" | "" => Some(Form::Json),
            "application/yaml" => Some(Form::Yaml),
            _ => None,
        }
    });
    found.ok_or_else(|| Refusal::Accept(accept.to_owned()))
}

async fn whole<B>(body: B, largest: usize) -> Result<Bytes, Refusal>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Said before it is sent: then nothing is read at all.
    if body.size_hint().lower() > largest as u64 {
        return Err(Refusal::TooLarge(largest));
    }
    match tokio::time::timeout(PATIENCE, Limited::new(body, largest).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge(largest)),
        Ok(Err(error)) => Err(Refusal::Broken(error.to_string())),
        Err(_) => Err(Refusal::TooSlow),
    }
}

fn reply(status: StatusCode, media: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media));
    reply
}
