/* empty.c - the floor of bench-version: a program that does nothing, built like belay */
int main(void)
{
	return 0;
}
