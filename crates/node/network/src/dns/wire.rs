//! Between bytes on the wire and answers.

use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};

use super::answer::{Answer, answer};
use super::zone::{Place, Zone};
use crate::directory::Directory;

/// Answers over UDP are cut here, in bytes, whatever the client would take: larger ones are fragmented and lost
/// (DNS Flag Day 2020).
const UDP_MAX: u16 = 1232;
/// What a client takes that does not say (RFC 1035), in bytes.
const UDP_DEFAULT: u16 = 512;
const HEADER_BYTES: usize = 12;

/// How a question came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What to do with a packet.
#[derive(Debug)]
pub enum Step {
    Reply(Vec<u8>),
    /// Others know: ask them; on failure answer [`failure`].
    Forward(Query),
    /// An alias of a name elsewhere: ask `question`, then answer [`with_target`].
    Chase {
        query: Query,
        alias: Box<Record>,
        question: Vec<u8>,
    },
    /// Not a question: answering it could make a loop.
    Ignore,
}

/// A question that was understood.
#[derive(Debug)]
pub struct Query {
    pub bytes: Vec<u8>,
    pub transport: Transport,
    message: Message,
}

/// Decides about one packet. No `directory` means it is not known yet: then nothing is said about names of the cluster.
pub fn step(zone: &Zone, directory: Option<&Arc<Directory>>, bytes: &[u8], transport: Transport) -> Step {
    let message = match Message::from_vec(bytes) {
        Ok(message) if message.metadata.message_type == MessageType::Query => message,
        Ok(_) => return Step::Ignore,
        Err(_) => return malformed(bytes),
    };
    let query = Query { bytes: bytes.to_vec(), transport, message };
    if query.message.metadata.op_code != OpCode::Query {
        return Step::Reply(query.code(ResponseCode::NotImp));
    }
    let [question] = query.message.queries.as_slice() else {
        return Step::Reply(query.code(ResponseCode::FormErr));
    };
    let (name, kind) = (question.name().clone(), question.query_type());
    if question.query_class() != DNSClass::IN || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
        return Step::Reply(query.code(ResponseCode::Refused));
    }
    let place = zone.place(&name);
    let found = match (directory, &place) {
        (Some(directory), _) => answer(zone, directory, &name, kind),
        (None, Place::Elsewhere) => Answer::Elsewhere,
        (None, Place::Inside(_) | Place::Reverse(_)) => {
            return Step::Reply(query.code(ResponseCode::ServFail));
        }
    };
    match found {
        Answer::Elsewhere => Step::Forward(query),
        Answer::Alias { alias, target } => Step::Chase { query, alias, question: ask_for(&target, kind) },
        Answer::Records { answers, additionals } => Step::Reply(query.records(answers, additionals)),
        Answer::NoData => Step::Reply(query.negative(ResponseCode::NoError, zone.soa(&place))),
        Answer::NoName => Step::Reply(query.negative(ResponseCode::NXDomain, zone.soa(&place))),
    }
}

/// The answer when nobody could be asked.
pub fn failure(query: &Query) -> Vec<u8> {
    query.code(ResponseCode::ServFail)
}

/// The question for the name an alias leads to.
fn ask_for(target: &Name, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(hickory_proto::op::Query::query(target.clone(), kind));
    encode(&message)
}

/// The answer for an alias with what was `found` for its target; without, the alias alone.
pub fn with_target(query: &Query, alias: Record, found: Option<&[u8]>) -> Vec<u8> {
    let mut answers = vec![alias];
    if let Some(Ok(message)) = found.map(Message::from_vec) {
        answers.extend(message.answers);
    }
    query.records(answers, Vec::new())
}

fn malformed(bytes: &[u8]) -> Step {
    let is_answer = bytes.get(2).is_none_or(|flags| flags & 0x80 != 0);
    if bytes.len() < HEADER_BYTES || is_answer {
        return Step::Ignore;
    }
    let id = u16::from_be_bytes([bytes[0], bytes[1]]);
    Step::Reply(encode(&Message::error_msg(id, OpCode::Query, ResponseCode::FormErr)))
}

impl Query {
    fn response(&self, code: ResponseCode) -> Message {
        let mut metadata = Metadata::response_from_request(&self.message.metadata);
        metadata.recursion_available = true;
        metadata.response_code = code;
        let mut response = Message::response(metadata.id, metadata.op_code);
        response.metadata = metadata;
        response.add_queries(self.message.queries.iter().cloned());
        if self.message.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_MAX);
            response.set_edns(edns);
        }
        response
    }

    fn code(&self, code: ResponseCode) -> Vec<u8> {
        encode(&self.response(code))
    }

    fn negative(&self, code: ResponseCode, soa: Option<Record>) -> Vec<u8> {
        let mut response = self.response(code);
        response.metadata.authoritative = true;
        response.add_authorities(soa);
        encode(&response)
    }

    /// The answers turn with the question's random number: clients that take the first spread over all.
    fn records(&self, mut answers: Vec<Record>, additionals: Vec<Record>) -> Vec<u8> {
        let addresses_only = answers.iter().all(|record| record.record_type() == RecordType::A);
        if addresses_only && !answers.is_empty() {
            let turn = usize::from(self.message.metadata.id) % answers.len();
            answers.rotate_left(turn);
        }
        let mut response = self.response(ResponseCode::NoError);
        response.metadata.authoritative = true;
        response.add_answers(answers);
        response.add_additionals(additionals);
        let bytes = encode(&response);
        if bytes.len() <= self.bytes_max() { bytes } else { encode(&response.truncate()) }
    }

    fn bytes_max(&self) -> usize {
        match self.transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => {
                let taken = self.message.edns.as_ref().map_or(UDP_DEFAULT, Edns::max_payload);
                usize::from(taken.clamp(UDP_DEFAULT, UDP_MAX))
            }
        }
    }
}

/// Nothing that is encoded here can exceed a limit of the format but its length; then it is empty and is not sent.
fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_else(|error| {
        tracing::warn!(%error, "a DNS answer could not be encoded");
        Vec::new()
    })
}
