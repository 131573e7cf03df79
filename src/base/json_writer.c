#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

void belay__json_start(struct belay__json_writer *json, struct belay__text *text)
{
	*json = (struct belay__json_writer){ .text = text };
}

static void add_control(struct belay__text *text, char c)
{
	static const char digits[] = "0123456789abcdef";
	char escape[6] = { '\\', 'u', '0', '0', digits[(unsigned char)c >> 4], digits[c & 15] };

	switch (c) {
	case '\n':
		belay__text_add_bytes(text, "\\n", 2);
		break;
	case '\r':
		belay__text_add_bytes(text, "\\r", 2);
		break;
	case '\t':
		belay__text_add_bytes(text, "\\t", 2);
		break;
	default:
		belay__text_add_bytes(text, escape, sizeof(escape));
	}
}

static bool is_plain(char c)
{
	return c >= ' ' && c < '\x7f' && c != '"' && c != '\\';
}

static void add_quoted(struct belay__text *text, const char *bytes, size_t len)
{
	size_t at = 0;

	belay__text_add_bytes(text, "\"", 1);
	while (at < len) {
		size_t plain = at, character;

		while (plain < len && is_plain(bytes[plain]))
			plain++;
		belay__text_add_bytes(text, bytes + at, plain - at);
		at = plain;
		if (at == len)
			break;

		character = belay__utf8_len(bytes + at, len - at);
		if (character == 0) {
			belay__text_add_bytes(text, "\xEF\xBF\xBD", 3);
		} else if (bytes[at] == '"' || bytes[at] == '\\') {
			belay__text_add_bytes(text, "\\", 1);
			belay__text_add_bytes(text, bytes + at, 1);
		} else if (character == 1) {
			add_control(text, bytes[at]);
		} else {
			belay__text_add_bytes(text, bytes + at, character);
		}
		at += character == 0 ? 1 : character;
	}
	belay__text_add_bytes(text, "\"", 1);
}

/* Writes what stands in front of a value: the comma and the key. */
static void begin(struct belay__json_writer *json, const char *key)
{
	if (json->need_comma)
		belay__text_add_bytes(json->text, ",", 1);
	if (key != NULL) {
		add_quoted(json->text, key, strlen(key));
		belay__text_add_bytes(json->text, ":", 1);
	}
	json->need_comma = true;
}

static void open_container(struct belay__json_writer *json, const char *key, const char *bracket)
{
	begin(json, key);
	belay__text_add_bytes(json->text, bracket, 1);
	json->need_comma = false;
}

static void close_container(struct belay__json_writer *json, const char *bracket)
{
	belay__text_add_bytes(json->text, bracket, 1);
	json->need_comma = true;
}

void belay__json_object(struct belay__json_writer *json, const char *key)
{
	open_container(json, key, "{");
}

void belay__json_array(struct belay__json_writer *json, const char *key)
{
	open_container(json, key, "[");
}

void belay__json_end_object(struct belay__json_writer *json)
{
	close_container(json, "}");
}

void belay__json_end_array(struct belay__json_writer *json)
{
	close_container(json, "]");
}

void belay__json_string(struct belay__json_writer *json, const char *key, const char *value)
{
	belay__json_string_n(json, key, value, strlen(value));
}

void belay__json_string_n(struct belay__json_writer *json, const char *key, const char *bytes,
	size_t len)
{
	begin(json, key);
	add_quoted(json->text, bytes, len);
}

void belay__json_u64(struct belay__json_writer *json, const char *key, uint64_t value)
{
	begin(json, key);
	belay__text_add_u64(json->text, value);
}

void belay__json_i64(struct belay__json_writer *json, const char *key, int64_t value)
{
	begin(json, key);
	belay__text_add_i64(json->text, value);
}

void belay__json_bool(struct belay__json_writer *json, const char *key, bool value)
{
	begin(json, key);
	belay__text_add(json->text, value ? "true" : "false");
}

void belay__json_null(struct belay__json_writer *json, const char *key)
{
	begin(json, key);
	belay__text_add(json->text, "null");
}

void belay__json_seconds(struct belay__json_writer *json, const char *key, uint64_t ns)
{
	char decimals[10] = ".";
	uint64_t rest = ns % BELAY__NS_PER_S;

	for (size_t i = sizeof(decimals) - 1; i > 0; i--) {
		decimals[i] = (char)('0' + rest % 10);
		rest /= 10;
	}
	begin(json, key);
	belay__text_add_u64(json->text, ns / BELAY__NS_PER_S);
	belay__text_add_bytes(json->text, decimals, sizeof(decimals));
}
