//! What stands between a laptop and its scoreboard: something that looks at what passes, and may change it or cut it off.
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes to the same number of bytes.
pub type Change = fn(&mut Vec<u8>);

pub struct Between {
    pub url: String,
    /// Bytes of answers that still get through.
    pub left: Arc<AtomicUsize>,
    /// What was asked, each by its first line.
    pub asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Between {
    pub async fn and(server: &str, change: Change) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (left, asked) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::<std::sync::Mutex<Vec<String>>>::default());
        let (to, rest, seen) = (server.trim_start_matches("http://").to_owned(), left.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((laptop, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&to).await else { continue };
                tokio::spawn(pass(laptop, server, rest.clone(), seen.clone(), change));
            }
        });
        Self { url, left, asked }
    }

    /// How many requests there were so far whose first line begins like this.
    pub fn count(&self, begins: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|line| line.starts_with(begins)).count()
    }
}

async fn pass(
    laptop: TcpStream,
    server: TcpStream,
    left: Arc<AtomicUsize>,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
    change: Change,
) {
    let ((mut from, mut to), (mut back, mut out)) = (laptop.into_split(), server.into_split());
    let questions = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n) = from.read(&mut buffer).await
            && n > 0
        {
            let mut piece = buffer[..n].to_vec();
            change(&mut piece);
            let text = String::from_utf8_lossy(&piece);
            let lines = text.lines().filter(|l| l.ends_with("HTTP/1.1")).map(str::to_owned);
            asked.lock().unwrap().extend(lines);
            if out.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n) = back.read(&mut buffer).await
            && n > 0
        {
            let may = left.load(Ordering::SeqCst).min(n);
            if left.load(Ordering::SeqCst) != usize::MAX {
                left.fetch_sub(may, Ordering::SeqCst);
            }
            if to.write_all(&buffer[..may]).await.is_err() || may < n {
                break;
            }
        }
    };
    tokio::select! {
        () = questions => {}
        () = answers => {}
    }
}

/// What is otherwise with a server that stands between.
#[derive(Clone)]
pub struct Odd {
    pub path: String,
    /// What it answers there, with a page that is not a scoreboard's.
    pub status: u16,
    /// How often; afterwards it lets everything through.
    pub times: usize,
    /// The scoreboard hears of it all the same.
    pub heard: bool,
}

impl Odd {
    pub fn always(path: &str, status: u16) -> Self {
        Self { path: path.to_owned(), status, times: usize::MAX, heard: false }
    }
}

/// A server that passes everything on to the scoreboard but what is odd. Its address, and how often that was asked for.
pub async fn passing_on(server: String, odd: Odd) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let counted = asked.clone();
    let service = axum::Router::new().fallback(move |request: Request| {
        let (server, odd, counted) = (server.clone(), odd.clone(), counted.clone());
        async move {
            if request.uri().path() != odd.path || counted.fetch_add(1, Ordering::SeqCst) >= odd.times {
                return on(&server, request).await;
            }
            if odd.heard {
                on(&server, request).await;
            } else {
                // A connection that is closed before all was read may take the answer with it.
                to_bytes(request.into_body(), 64 << 20).await.unwrap();
            }
            (StatusCode::from_u16(odd.status).unwrap(), "<h1>No</h1>").into_response()
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, service).await });
    (url, asked)
}

async fn on(server: &str, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let asked = reqwest::Client::new().request(parts.method, format!("{server}{}", parts.uri));
    let answer = asked.headers(parts.headers).body(body).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}
