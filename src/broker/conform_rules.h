/* conform_rules.h - the rules' checks, a file for each kind of them */
#pragma once

#include "broker/conform.h"

/* conform_framing.c */
enum belay__conform_verdict belay__conform_empty_body(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_back_to_back(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_byte_by_byte(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_framing_byte(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_too_large(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_cut_off(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_no_frame(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_unknown_fields(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_unknown_protocol(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_legacy(struct belay__conform *conform);

/* conform_answer.c: what a right probe is answered with */
enum belay__conform_verdict belay__conform_envelope(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_nonce(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_request_id(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_trace(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_record(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_endpoint(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_process(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_sender(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_sidecar(struct belay__conform *conform);

/* conform_probe.c: which probes are answered */
enum belay__conform_verdict belay__conform_kind(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_version(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_encoding(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_nonce_short(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_nonce_long(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_many(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_concurrent(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_slow(struct belay__conform *conform);

/* conform_handoff.c */
enum belay__conform_verdict belay__conform_accepts(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_ack_frame(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_ack_echo(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_serves(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_mismatch(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_replay(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_no_fd(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_two_fds(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_file(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_listener(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_datagram(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_closes(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_abandoned(struct belay__conform *conform);
enum belay__conform_verdict belay__conform_trickle(struct belay__conform *conform);
