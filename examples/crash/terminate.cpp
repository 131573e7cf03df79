// terminate.cpp - a C++ program that nobody catches the exception of
//
// Usage: terminate [no]       with `no` it ends well
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include <belay/beat.h>
#include <belay/crash.h>

int main(int argc, char **argv)
{
	belay_crash_options options{};
	belay *handle = belay_open(nullptr);
	belay_error error;

	// std::terminate() ends in abort(), so in SIGABRT; a terminate handler of the program's own runs before that.
	options.note = "auto";
	if (belay_crash_install_uds(nullptr, &options, nullptr, &error) < 0)
		std::fprintf(stderr, "%s\n", error.text);
	belay_beat(handle, BELAY_OK, 1);

	if (argc < 2 || std::strcmp(argv[1], "no") != 0)
		throw std::runtime_error("nobody catches this");
	belay_close(handle);
	return 0;
}
