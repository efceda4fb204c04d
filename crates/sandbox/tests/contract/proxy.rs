//! Stands between a sidecar and its driver: passes calls on, or makes them fail, as it is told.
//!
//! Knows gRPC only as HTTP/2 with a message behind five bytes; the driver behind it is the real one.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// gRPC codes (<https://grpc.io/docs/guides/status-codes/>).
pub(crate) const DEADLINE_EXCEEDED: u16 = 4;
pub(crate) const FAILED_PRECONDITION: u16 = 9;
pub(crate) const INTERNAL: u16 = 13;
pub(crate) const UNAVAILABLE: u16 = 14;
pub(crate) const UNAUTHENTICATED: u16 = 16;

/// What becomes of one call.
#[derive(Clone)]
pub(crate) enum Fault {
    /// The driver never hears of it; the caller gets this code and these words.
    Refuse(u16, &'static str),
    /// The driver does it; the caller hears that it took too long.
    LoseReply,
    /// The caller hears that it took too long; the driver gets it when the gate opens.
    Late(watch::Receiver<bool>),
    /// It is answered once the gate opens.
    Hold(watch::Receiver<bool>),
    /// The driver's answer is changed.
    Change(Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>),
}

impl Fault {
    pub(crate) fn change<M: Message + Default>(
        change: impl Fn(&mut M) + Send + Sync + 'static,
    ) -> Self {
        Self::Change(Arc::new(move |bytes| {
            let mut message = M::decode(&*bytes).unwrap();
            change(&mut message);
            message.encode_to_vec()
        }))
    }
}

/// Says what becomes of a call by its message.
type Script = Box<dyn FnMut(&[u8]) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    faults: HashMap<String, VecDeque<Fault>>,
    scripts: HashMap<String, Script>,
    /// Method and message of every call, in order.
    calls: Vec<(String, Vec<u8>)>,
    /// Calls of each method under way, and the most there ever were.
    running: HashMap<String, (usize, usize)>,
}

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) socket: PathBuf,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Serves at `socket` what `driver` serves.
    pub(crate) fn start(socket: PathBuf, driver: PathBuf) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let listener = UnixListener::bind(&socket).unwrap();
        let task = tokio::spawn(accept(listener, driver, state.clone()));
        Self {
            socket,
            state,
            task,
        }
    }

    /// The next calls of this method go so; those after them go well.
    pub(crate) fn next(&self, method: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.state.lock().unwrap();
        let queue = state.faults.entry(method.to_owned()).or_default();
        queue.extend(faults);
    }

    /// Calls of this method for which nothing else is planned go as their message is answered here.
    pub(crate) fn script<M: Message + Default>(
        &self,
        method: &str,
        mut script: impl FnMut(M) -> Option<Fault> + Send + 'static,
    ) {
        let script = move |message: &[u8]| script(M::decode(message).unwrap());
        let mut state = self.state.lock().unwrap();
        state.scripts.insert(method.to_owned(), Box::new(script));
    }

    /// How many calls of this method came.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.calls::<()>(method).len()
    }

    /// The messages of all calls of this method.
    pub(crate) fn calls<M: Message + Default>(&self, method: &str) -> Vec<M> {
        let state = self.state.lock().unwrap();
        let calls = state.calls.iter().filter(|(name, _)| name == method);
        calls
            .map(|(_, message)| M::decode(&**message).unwrap())
            .collect()
    }

    /// The most calls of this method that were under way at once.
    pub(crate) fn most_at_once(&self, method: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.running.get(method).map_or(0, |it| it.1)
    }
}

async fn accept(listener: UnixListener, driver: PathBuf, state: Arc<Mutex<State>>) {
    // Who ends the proxy ends its connections, as the end of a driver does.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (driver, state) = (driver.clone(), state.clone());
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let (driver, state) = (driver.clone(), state.clone());
                async move { Ok::<_, Infallible>(pass(request, &driver, &state).await) }
            });
            // A sidecar that ends hangs up; that is no failure of the proxy.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Answer = Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>;

async fn pass(request: Request<Incoming>, driver: &Path, state: &Arc<Mutex<State>>) -> Answer {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return refusal(INTERNAL, "the request broke off");
    };
    let body = body.to_bytes();
    let method = parts.uri.path().rsplit('/').next().unwrap().to_owned();
    let fault = {
        let mut state = state.lock().unwrap();
        state.calls.push((method.clone(), body[5..].to_vec()));
        let running = state.running.entry(method.clone()).or_default();
        running.0 += 1;
        running.1 = running.1.max(running.0);
        let planned = state.faults.get_mut(&method);
        let planned = planned.and_then(VecDeque::pop_front);
        planned.or_else(|| state.scripts.get_mut(&method)?(&body[5..]))
    };
    let request = || {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        request
    };
    let late = "no answer in time";
    let answer = match fault {
        None => forward(driver, request(), None).await,
        Some(Fault::Change(change)) => forward(driver, request(), Some(&*change)).await,
        Some(Fault::Refuse(code, words)) => refusal(code, words),
        Some(Fault::LoseReply) => {
            forward(driver, request(), None).await;
            refusal(DEADLINE_EXCEEDED, late)
        }
        Some(Fault::Hold(mut gate)) => {
            let _ = gate.wait_for(|open| *open).await;
            forward(driver, request(), None).await
        }
        Some(Fault::Late(mut gate)) => {
            let (driver, request) = (driver.to_owned(), request());
            tokio::spawn(async move {
                let _ = gate.wait_for(|open| *open).await;
                forward(&driver, request, None).await;
            });
            refusal(DEADLINE_EXCEEDED, late)
        }
    };
    let mut state = state.lock().unwrap();
    state.running.get_mut(&method).unwrap().0 -= 1;
    answer
}

async fn forward(
    driver: &Path,
    request: Request<Full<Bytes>>,
    change: Option<&(dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync)>,
) -> Answer {
    let Ok(stream) = UnixStream::connect(driver).await else {
        return refusal(UNAVAILABLE, "the driver is away");
    };
    let connection =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = connection else {
        return refusal(UNAVAILABLE, "the driver is away");
    };
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    let Ok(answer) = answer else {
        return refusal(UNAVAILABLE, "the driver went away");
    };
    let (parts, body) = answer.into_parts();
    let Ok(body) = body.collect().await else {
        return refusal(UNAVAILABLE, "the driver went away");
    };
    connection.abort();
    let trailers = body.trailers().cloned();
    let mut bytes = body.to_bytes();
    if let (Some(change), true) = (change, bytes.len() >= 5) {
        let message = change(bytes[5..].to_vec());
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        bytes = [&[0], &length[..], &message].concat().into();
    }
    let mut frames = vec![Frame::data(bytes)];
    frames.extend(trailers.map(Frame::trailers));
    let frames = futures::stream::iter(frames.into_iter().map(Ok));
    let mut headers = parts.headers;
    headers.remove(http::header::CONTENT_LENGTH);
    let mut answer = Response::new(StreamBody::new(frames).boxed());
    *answer.headers_mut() = headers;
    answer
}

fn refusal(code: u16, words: &'static str) -> Answer {
    let mut headers = HeaderMap::new();
    let grpc = HeaderValue::from_static("application/grpc");
    headers.insert(http::header::CONTENT_TYPE, grpc);
    headers.insert("grpc-status", code.into());
    headers.insert("grpc-message", HeaderValue::from_static(words));
    let mut answer = Response::new(Full::new(Bytes::new()).boxed());
    *answer.headers_mut() = headers;
    answer
}
