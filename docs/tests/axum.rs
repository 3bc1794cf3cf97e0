//! The example of a web service: each client has its limit, and none can choose whose it uses.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[expect(dead_code, reason = "it is a program")]
#[path = "../examples/axum.rs"]
mod example;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{Method, Request, Response, StatusCode, header},
};
use example::{QUOTA, app};
use std::{future::IntoFuture, net::SocketAddr};
use tidegate_ratelimit::{KeyedLimiter, ManualClock, http::ClientAddress};
use tidegate_testkit::advance;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::Duration,
};
use tower::ServiceExt;

const STRANGER: &str = "203.0.113.7";
const PROXY: &str = "10.0.0.1";

fn service() -> Router {
    let limiter = KeyedLimiter::builder(QUOTA).build().unwrap();
    app(limiter, ClientAddress::behind(["10.0.0.0/8".parse().unwrap()]))
}

/// A request from that peer, with these headers.
fn request(peer: &str, uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
    request.extension(ConnectInfo(peer)).body(Body::empty()).unwrap()
}

async fn send(service: &Router, request: Request<Body>) -> Response<Body> {
    let Ok(response) = service.clone().oneshot(request).await;
    response
}

async fn status(service: &Router, peer: &str, headers: &[(&str, &str)]) -> StatusCode {
    send(service, request(peer, "/hello", headers)).await.status()
}

#[tidegate_testkit::test]
async fn a_client_is_told_when_to_come_back() {
    let service = service();
    for _ in 0..3 {
        assert_eq!(status(&service, STRANGER, &[]).await, StatusCode::OK);
    }
    let denied = send(&service, request(STRANGER, "/hello", &[])).await;
    assert_eq!(denied.status(), StatusCode::TOO_MANY_REQUESTS);
    let headers = denied.headers().clone();
    assert_eq!(headers[header::RETRY_AFTER], "1");
    assert_eq!(headers["ratelimit"], r#""client";r=0;t=1"#);
    assert_eq!(headers["ratelimit-policy"], r#""client";q=3;w=3"#);
    let body = to_bytes(denied.into_body(), 1000).await.unwrap();
    assert_eq!(body, "rate limit reached: 0 left, retry after 1s\n");
    assert_eq!(status(&service, "203.0.113.8", &[]).await, StatusCode::OK, "that is another one");
    advance(Duration::from_secs(1)).await;
    assert_eq!(status(&service, STRANGER, &[]).await, StatusCode::OK);
}

/// Each request says that it comes from somewhere else.
#[tidegate_testkit::test]
async fn who_calls_directly_cannot_choose_its_address() {
    let service = service();
    let mut passed = 0;
    for n in 0..50 {
        let made_up = format!("198.51.100.{n}");
        let rfc = format!("for={made_up}");
        let headers =
            [("x-forwarded-for", &*made_up), ("forwarded", &rfc), ("x-real-ip", &made_up)];
        passed += u32::from(status(&service, STRANGER, &headers).await.is_success());
    }
    assert_eq!(passed, 3);
}

/// The proxy adds the true one to what the client has made up.
#[tidegate_testkit::test]
async fn who_calls_through_a_proxy_cannot_choose_its_address() {
    let service = service();
    let mut passed = 0;
    for n in 0..50 {
        let added = format!("198.51.100.{n}, 10.0.0.{n}, {STRANGER}:{n}");
        passed +=
            u32::from(status(&service, PROXY, &[("x-forwarded-for", &added)]).await.is_success());
        let other = [("x-forwarded-for", STRANGER), ("forwarded", "for=1.1.1.1")];
        passed += u32::from(status(&service, PROXY, &other).await.is_success());
    }
    assert_eq!(passed, 3);
    let honest = [("x-forwarded-for", "203.0.113.8")];
    assert_eq!(status(&service, PROXY, &honest).await, StatusCode::OK, "others have theirs");
}

#[tidegate_testkit::test]
async fn an_ipv6_network_is_one_client() {
    let service = service();
    let mut passed = 0;
    for n in 0..50 {
        let peer = format!("2001:db8:1:2:{n}::1");
        passed += u32::from(status(&service, &peer, &[]).await.is_success());
    }
    assert_eq!(passed, 3);
    assert_eq!(status(&service, "2001:db8:1:3::1", &[]).await, StatusCode::OK);
}

#[tidegate_testkit::test]
async fn probes_and_preflights_are_free() {
    let service = service();
    let preflight = || {
        let mut request = request(STRANGER, "/hello", &[("access-control-request-method", "GET")]);
        *request.method_mut() = Method::OPTIONS;
        request
    };
    for _ in 0..50 {
        let probe = send(&service, request(STRANGER, "/health", &[])).await;
        assert_eq!(probe.status(), StatusCode::OK);
        let allowed = send(&service, preflight()).await;
        assert_eq!(allowed.status(), StatusCode::NO_CONTENT);
        assert_eq!(allowed.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
    for _ in 0..3 {
        assert_eq!(status(&service, STRANGER, &[]).await, StatusCode::OK);
    }
    // A browser can read that, too.
    let denied = send(&service, request(STRANGER, "/hello", &[])).await;
    assert_eq!(denied.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(denied.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(send(&service, preflight()).await.status(), StatusCode::NO_CONTENT);
    // Those that only look like one are not free.
    let mut request = request(STRANGER, "/hello", &[]);
    *request.method_mut() = Method::OPTIONS;
    assert_eq!(send(&service, request).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

/// With `Retry-After`, if there is one.
async fn get(address: SocketAddr, made_up: u8) -> (String, Option<String>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /hello HTTP/1.1\r\nhost: here\r\nx-forwarded-for: 198.51.100.{made_up}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let mut lines = response.lines();
    let status = lines.next().unwrap().to_owned();
    let after = lines.find_map(|line| line.strip_prefix("retry-after: ")).map(str::to_owned);
    (status, after)
}

/// Each request has a connection of its own, as that of a client has that will not be limited.
#[tidegate_testkit::test(real_io)]
async fn real_connections_share_the_limit_of_their_client() {
    let limiter = KeyedLimiter::builder(QUOTA).clock(ManualClock::new()).build().unwrap();
    let service = app(limiter, ClientAddress::direct());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(async {
        stopped.await.unwrap();
    });
    let called = async {
        for n in 0..3 {
            assert_eq!(get(address, n).await, ("HTTP/1.1 200 OK".into(), None));
        }
        for n in 3..6 {
            let denied = ("HTTP/1.1 429 Too Many Requests".into(), Some("1".into()));
            assert_eq!(get(address, n).await, denied);
        }
        stop.send(()).unwrap();
    };
    let (served, ()) = tokio::join!(served.into_future(), called);
    served.unwrap();
}
