#include "export/audit_verify.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "export/audit_golden.inc"
#include "export/records_testing.h"

#define PATH belay__test_path
#define END  99 /* of a list of golden lines */

static struct belay_error error;
static struct belay__audit_verdict verdict;

static void verify(void)
{
	memset(&verdict, 0xAA, sizeof(verdict));
	if (belay__audit_verify(PATH, &verdict, &error) < 0)
		fail_msg("%s", error.text);
}

/* Writes the header and the golden lines FROM ... TO - 1 as generation I. */
static void write_lines(unsigned generation, size_t from, size_t to)
{
	char file[4096] = GOLDEN_HEADER;

	for (size_t i = from; i < to; i++)
		strcat(file, golden[i]);
	belay__test_write_file(belay__test_generation(generation), file, strlen(file));
}

static void write_text(const char *text)
{
	belay__test_write_file(PATH, text, strlen(text));
}

static void assert_broken(unsigned generation, uint64_t line, const char *why)
{
	verify();
	assert_true(verdict.broken);
	assert_false(verdict.torn);
	assert_string_equal(verdict.why, why);
	assert_int_equal(verdict.bad_generation, generation);
	assert_int_equal(verdict.bad_line, line);
}

static void a_whole_log_is_whole(void **state)
{
	(void)state;

	for (size_t count = 0; count <= GOLDEN_COUNT; count++) {
		char head[2 * BELAY__AUDIT_CHAIN_SIZE + 1];

		write_lines(0, 0, count);
		verify();
		assert_false(verdict.broken || verdict.torn);
		assert_int_equal(verdict.files, 1);
		assert_int_equal(verdict.records, count);
		assert_int_equal(verdict.first_seq, count > 0 ? 1 : 0);
		assert_int_equal(verdict.last_seq, count);
		belay__audit_chain_text(verdict.head, head);
		if (count > 0)
			assert_memory_equal(head,
				golden[count - 1] + strlen(golden[count - 1]) - 65, 64);
	}
	belay__test_write_file(PATH, "", 0);
	verify();
	assert_false(verdict.broken || verdict.torn);
}

static void every_changed_byte_is_seen_where_it_is(void **state)
{
	static char file[4096];
	uint64_t line = 1;
	size_t len;
	(void)state;

	write_lines(0, 0, GOLDEN_COUNT);
	memcpy(file, belay__test_read_file(PATH, &len), sizeof(file));
	for (size_t i = 0; i < len; i++) {
		static const char flips[] = { 1, 32, (char)128 };
		char byte = file[i];

		for (size_t flip = 0; flip < sizeof(flips); flip++) {
			file[i] = (char)(byte ^ flips[flip]);
			belay__test_write_file(PATH, file, len);
			verify();
			assert_true(verdict.broken || (verdict.torn && i == len - 1));
			assert_int_equal(verdict.bad_line, line);
			assert_int_equal(verdict.records, line > 2 ? line - 2 : 0);
		}
		file[i] = byte;
		if (byte == '\n')
			line++;
	}
}

static void a_log_cut_at_any_byte_is_torn_or_shorter(void **state)
{
	static char file[4096];
	size_t len;
	(void)state;

	write_lines(0, 0, GOLDEN_COUNT);
	memcpy(file, belay__test_read_file(PATH, &len), sizeof(file));
	for (size_t i = 0; i < len; i++) {
		belay__test_write_file(PATH, file, i);
		verify();
		assert_false(verdict.broken);
		assert_int_equal(verdict.torn, i > 0 && file[i - 1] != '\n');
	}
}

static void lines_moved_left_out_or_repeated_are_seen(void **state)
{
	static const char gone[] = "it does not name the chain of the record before it: records "
				   "between them are gone, or were changed";
	static const char changed[] = "its chain is not that of its text and the record before it";
	static const char begins[] =
		"the log does not begin with the record of a start or a rotation";
	static const struct {
		size_t lines[12];
		uint64_t line; /* that is broken */
		const char *why;
	} cases[] = {
		{ { 0, 2, END }, 3, changed },
		{ { 0, 1, 1, END }, 4, "its sequence number 2 does not follow 2" },
		{ { 0, 2, 1, END }, 3, changed },
		{ { 0, 0, END }, 3, gone },
		{ { 1, 2, END }, 2, begins },
		{ { 0, 1, 2, 3, 4, 5, 7, END }, 8, gone },
		{ { 7, 0, END }, 3, gone },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char file[4096] = GOLDEN_HEADER;

		for (const size_t *line = cases[i].lines; *line != END; line++)
			strcat(file, golden[*line]);
		write_text(file);
		assert_broken(0, cases[i].line, cases[i].why);
	}
}

static void a_log_may_begin_where_older_files_are_gone(void **state)
{
	(void)state;

	write_lines(0, 7, 8);
	verify();
	assert_false(verdict.broken || verdict.torn);
	assert_int_equal(verdict.first_seq, 8);
	assert_int_equal(verdict.records, 1);
	assert_int_equal(verdict.missing, 0);
}

static void generations_are_one_log(void **state)
{
	(void)state;

	write_lines(5, 0, 2);
	write_lines(3, 2, 4);
	write_lines(2, 4, 4);
	write_lines(1, 4, 7);
	write_lines(0, 7, 8);
	verify();
	assert_false(verdict.broken || verdict.torn);
	assert_int_equal(verdict.files, 5);
	assert_int_equal(verdict.records, 8);

	/* A rotation may be under way. */
	assert_int_equal(unlink(PATH), 0);
	verify();
	assert_false(verdict.broken || verdict.torn);
	assert_int_equal(verdict.records, 7);

	write_lines(0, 7, 8);
	assert_int_equal(unlink(belay__test_generation(3)), 0);
	assert_broken(1, 2, "its chain is not that of its text and the record before it");
	write_lines(3, 2, 4);
	belay__test_write_file(belay__test_generation(2), "x", 1);
	assert_broken(2, 1, "it is cut short, and newer files follow");
	belay__test_write_file(belay__test_generation(2), "x\n", 2);
	assert_broken(2, 1, "it is not the header of an audit log of version 2");
}

static void what_is_no_line_of_a_log_is_named(void **state)
{
	char file[4096];
	(void)state;

	(void)snprintf(file, sizeof(file), GOLDEN_HEADER "%sno line\n", golden[0]);
	write_text(file);
	assert_broken(0, 3, "it is no record of a known kind");
	(void)snprintf(file, sizeof(file), GOLDEN_HEADER "%s" GOLDEN_HEADER, golden[0]);
	write_text(file);
	assert_broken(0, 3, "it is no record of a known kind");
	(void)snprintf(file, sizeof(file), GOLDEN_HEADER "%s\n", golden[0]);
	write_text(file);
	assert_broken(0, 3, "it is no record of a known kind");
	write_text(GOLDEN_HEADER "1\t2\t3\tboot\t4\t-\tfresh\t-\n");
	assert_broken(0, 2, "it carries no chain");
	write_text("notes\n");
	assert_broken(0, 1, "it is not the header of an audit log of version 2");
	(void)snprintf(file, sizeof(file), "notes\n%s", golden[0]);
	write_text(file);
	assert_broken(0, 1, "it is not the header of an audit log of version 2");
}

static void a_header_begins_the_log_behind_lines_of_another_schema(void **state)
{
	static char file[4096];
	(void)state;

	(void)snprintf(file, sizeof(file), "%s\nold\n" GOLDEN_HEADER "%s%s", BELAY__AUDIT_HEADER_V1,
		golden[0], golden[1]);
	write_text(file);
	verify();
	assert_false(verdict.broken || verdict.torn);
	assert_int_equal(verdict.foreign_lines, 2);
	assert_int_equal(verdict.records, 2);

	/* Whole files may be of another schema, but none that is newer than a record. */
	write_lines(0, 0, 2);
	belay__test_write_file(belay__test_generation(1), "a\nb\nc\n", 6);
	verify();
	assert_false(verdict.broken || verdict.torn);
	assert_int_equal(verdict.foreign_lines, 3);
	write_lines(1, 0, 2);
	write_text("notes\n");
	assert_broken(0, 1, "it is not the header of an audit log of version 2");
}

/* Its record of the start names no chain there, and goes on with it all the same. */
static void the_originals_start_behind_a_torn_line_is_followed(void **state)
{
	static const char start[] =
		"5\t17\t0\tboot\t1\t-\tcorrupt_tail\t"
		"a72fb43785cf4e9c2af328d079571844b0971bb5bbe3ff7b7a562ecc29a05c76\n";
	char file[4096];
	(void)state;

	(void)snprintf(file, sizeof(file), GOLDEN_HEADER "%s%s%s%s%s", golden[0], golden[1],
		golden[2], golden[3], start);
	write_text(file);
	verify();
	assert_false(verdict.broken || verdict.torn);
	assert_int_equal(verdict.records, 5);
	(void)snprintf(file, sizeof(file), GOLDEN_HEADER "%s%s%s%s", golden[0], golden[1],
		golden[2], start);
	write_text(file);
	assert_broken(0, 5, "its chain is not that of its text and the record before it");
}

static void a_line_of_any_length_is_refused_in_bounded_memory(void **state)
{
	static char line[20000];
	(void)state;

	memset(line, 'x', sizeof(line) - 1);
	(void)snprintf(line, sizeof(line), "%s", GOLDEN_HEADER);
	line[strlen(GOLDEN_HEADER)] = 'x';
	write_text(line);
	assert_broken(0, 2, "it is longer than 16384 bytes");
	/* A hole of a gigabyte, quickly. */
	write_lines(0, 0, 2);
	assert_int_equal(truncate(PATH, 1 << 30), 0);
	assert_broken(0, 4, "it is longer than 16384 bytes");
}

static void numbers_left_out_are_counted(void **state)
{
	struct belay__audit_hasher hasher;
	uint8_t chain[BELAY__AUDIT_CHAIN_SIZE] = { 0 };
	char file[4096] = GOLDEN_HEADER, line[512];
	static const uint64_t numbers[] = { 1, 2, 7, 8, 10 };
	(void)state;

	assert_int_equal(belay__audit_hasher_init(&hasher), 0);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct belay__audit_record record = golden_records[i == 0 ? 0 : 5];
		int len;

		record.seq = numbers[i];
		len = belay__audit_format(&hasher, &record, chain, line, sizeof(line), chain);
		assert_true(len > 0);
		strncat(file, line, (size_t)len);
	}
	belay__audit_hasher_done(&hasher);
	write_text(file);
	verify();
	assert_false(verdict.broken || verdict.torn);
	assert_int_equal(verdict.records, 5);
	assert_int_equal(verdict.missing, 5);
}

static void files_that_cannot_be_read_are_said(void **state)
{
	(void)state;

	verdict.files = 77;
	assert_int_equal(belay__audit_verify(PATH, &verdict, &error), -ENOENT);
	assert_int_equal(symlink("/etc/passwd", PATH), 0);
	assert_int_equal(belay__audit_verify(PATH, &verdict, &error), -ELOOP);
	assert_int_equal(unlink(PATH), 0);
	assert_int_equal(mkfifo(PATH, 0600), 0);
	assert_int_equal(belay__audit_verify(PATH, &verdict, &error), -EINVAL);
	assert_int_equal(unlink(PATH), 0);
	write_lines(0, 0, 1);
	assert_int_equal(mkdir(belay__test_generation(4), 0700), 0);
	assert_int_equal(belay__audit_verify(PATH, &verdict, &error), -EINVAL);
	assert_non_null(strstr(error.text, "records.4 is not a regular file"));
	assert_int_equal(verdict.files, 77);
}

/* Runs the command with the words; what it says is given in memory of its own. */
static int run(const char *const *words, char out[4096], char err[4096])
{
	char *argv[8] = { (char *)(uintptr_t) "verify" };
	char out_name[96], err_name[96];
	int argc = 1, code, saved[2];

	for (; words[argc - 1] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	(void)snprintf(out_name, sizeof(out_name), "%s/out", belay__test_directory);
	(void)snprintf(err_name, sizeof(err_name), "%s/err", belay__test_directory);
	(void)fflush(NULL);
	for (int i = 0; i < 2; i++) {
		int fd = open(i == 0 ? out_name : err_name,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		saved[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 3);
		assert_true(fd >= 0 && saved[i] >= 0);
		assert_int_equal(dup2(fd, i + 1), i + 1);
		(void)belay__close(fd);
	}
	code = belay__audit_verify_main(argc, argv);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(dup2(saved[i], i + 1), i + 1);
		(void)belay__close(saved[i]);
	}
	(void)snprintf(out, 4096, "%s", belay__test_read_file(out_name, NULL));
	(void)snprintf(err, 4096, "%s", belay__test_read_file(err_name, NULL));
	return code;
}

static void the_command_says_what_is_wrong_and_where(void **state)
{
	static char out[4096], err[4096], wanted[4096], file[4096] = GOLDEN_HEADER;
	const char *const plain[] = { PATH, NULL };
	const char *const json[] = { "--json", PATH, NULL };
	struct belay__json value;
	(void)state;

	write_lines(1, 0, 7);
	write_lines(0, 7, 8);
	assert_int_equal(run(plain, out, err), 0);
	assert_string_equal(out,
		"whole: 8 records in 2 files, sequence 1 to 8, head "
		"9487018ace627e95f477d1629e7020343b6f223dcdf0e1651c95f2dd57ae11df\n");
	assert_string_equal(err, "");
	assert_int_equal(run(json, out, err), 0);
	assert_string_equal(out,
		"{\"whole\":true,\"files\":2,\"records\":8,\"first_seq\":1,\"last_seq\":8,"
		"\"missing\":0,\"foreign_lines\":0,\"head\":"
		"\"9487018ace627e95f477d1629e7020343b6f223dcdf0e1651c95f2dd57ae11df\","
		"\"broken\":null,\"torn\":null}\n");

	strcat(file, golden[0]);
	strcat(file, golden[2]);
	belay__test_write_file(belay__test_generation(1), file, strlen(file));
	assert_int_equal(run(plain, out, err), 1);
	assert_string_equal(out, "");
	(void)snprintf(wanted, sizeof(wanted),
		"belay audit: %s.1, line 3: its chain is not that of its text and the record "
		"before it\n",
		PATH);
	assert_string_equal(err, wanted);
	assert_int_equal(run(json, out, err), 1);
	assert_string_equal(err, wanted);
	assert_int_equal(belay__json_parse(out, strlen(out) - 1, &value, NULL), 0);
	assert_non_null(strstr(out, "\"broken\":{\"file\":"));
	assert_non_null(strstr(out, "\"line\":3,\"why\":"));
	assert_non_null(strstr(out, "\"torn\":null"));

	write_lines(1, 0, 7);
	belay__test_write_file(PATH, "torn", 4);
	assert_int_equal(run(plain, out, err), 1);
	assert_non_null(strstr(err, ", line 1: it is torn, as after a crash"));
	assert_int_equal(run(json, out, err), 1);
	assert_int_equal(belay__json_parse(out, strlen(out) - 1, &value, NULL), 0);
	assert_non_null(strstr(out, "\"torn\":{\"file\":"));
	assert_non_null(strstr(out, "\"broken\":null"));
}

static void the_command_notes_what_cannot_be_known(void **state)
{
	static char out[4096], err[4096];
	const char *const plain[] = { PATH, NULL };
	(void)state;

	write_lines(0, 7, 8);
	assert_int_equal(run(plain, out, err), 0);
	assert_non_null(strstr(out, "\nnote: records before number 8 are not in these files\n"));
}

static void the_command_line_is_checked(void **state)
{
	static const struct {
		const char *words[4];
		int code;
		const char *err;
	} cases[] = {
		{ { NULL }, 2, "verify which file?" },
		{ { "a", "b", NULL }, 2, "verify which file?" },
		{ { "--jsom", "a", NULL }, 2, "did you mean --json" },
		{ { "/nowhere/\x1b[31m", NULL }, 66, "there is no file /nowhere/?[31m" },
		{ { "--help", NULL }, 0, "" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static char out[4096], err[4096];

		assert_int_equal(run(cases[i].words, out, err), cases[i].code);
		assert_non_null(strstr(err, cases[i].err));
		assert_int_equal(out[0] != '\0', cases[i].code == 0);
		assert_null(strchr(err, '\x1b'));
	}
}

#define CASE(name_)                                                                                \
	cmocka_unit_test_setup_teardown(name_, belay__test_make_directory,                         \
		belay__test_remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_whole_log_is_whole),
		CASE(every_changed_byte_is_seen_where_it_is),
		CASE(a_log_cut_at_any_byte_is_torn_or_shorter),
		CASE(lines_moved_left_out_or_repeated_are_seen),
		CASE(a_log_may_begin_where_older_files_are_gone),
		CASE(generations_are_one_log),
		CASE(what_is_no_line_of_a_log_is_named),
		CASE(a_header_begins_the_log_behind_lines_of_another_schema),
		CASE(the_originals_start_behind_a_torn_line_is_followed),
		CASE(a_line_of_any_length_is_refused_in_bounded_memory),
		CASE(numbers_left_out_are_counted),
		CASE(files_that_cannot_be_read_are_said),
		CASE(the_command_says_what_is_wrong_and_where),
		CASE(the_command_notes_what_cannot_be_known),
		CASE(the_command_line_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
