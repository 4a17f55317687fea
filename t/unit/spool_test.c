#include "t/unit/spool_helper.h"

TestSuite(spool, .init = setup, .fini = teardown, .timeout = 60);

Test(spool, a_small_message)
{
	size_t room;
	char *to;

	add(1);
	to = spool_reserve(spool, &room);
	cr_assert_geq(room, 4 * KIB);
	fill(to, 0, 1000);
	spool_commit(spool, 1000);
	cr_expect_eq(probes[0].ready, 0, "not inside the call");
	pump();
	cr_expect_eq(probes[0].ready, 1);
	cr_expect_eq(spool_size(spool), 1000);
	cr_expect_eq(left(&probes[0]), 1000);
	cr_expect_not(spool_finished(spool));
	take_all(&probes[0]);
	cr_expect_not(at_end(&probes[0]));
	spool_finish(spool);
	pump();
	cr_expect(spool_finished(spool));
	cr_expect(at_end(&probes[0]));
	cr_expect_eq(probes[0].ready, 2);
	cr_expect_lt(spool_memory(spool), 16 * KIB + 1);
}

Test(spool, a_small_message_keeps_its_small_chunk)
{
	add(1);
	put(300);
	take_all(&probes[0]);
	put(4 * KIB);
	cr_expect_eq(spool_memory(spool), 8 * KIB);
	take_all(&probes[0]);
	put(4 * KIB);
	cr_expect_eq(spool_memory(spool), 8 * KIB);
	take_all(&probes[0]);
	cr_expect_eq(spool_memory(spool), 0);
	put(1);
	cr_expect_eq(spool_memory(spool), 64 * KIB, "it is no small one");
}

Test(spool, a_slow_reader_does_not_hold_up_a_fast_one)
{
	size_t most = 0;

	add(2);
	while (spool_size(spool) < 50 * MIB) {
		put(64 * KIB);
		take_all(&probes[0]);
		cr_assert_not(spool_full(spool));
		if (spool_memory(spool) > most)
			most = spool_memory(spool);
	}
	spool_finish(spool);
	cr_expect(at_end(&probes[0]));
	cr_expect_eq(open_files(), 1);
	take_all(&probes[1]);
	cr_expect(at_end(&probes[1]));
	cr_expect_eq(open_files(), 0);
	cr_expect_leq(most, WINDOW + 2 * 64 * KIB, "%zu", most);
	cr_expect_eq(writable_calls, 0);
}

Test(spool, a_preface_waits_for_company)
{
	struct iovec iov[4];

	add(1);
	spool_preface(spool, "Received: x\r\n", 13);
	cr_assert_eq(spool_peek(&probes[0].reader, iov, 4), 0);
	spool_append(spool, "a", 1);
	cr_assert_eq(spool_peek(&probes[0].reader, iov, 4), 1);
	cr_assert_eq(iov[0].iov_len, 14);
}

Test(spool, a_preface_is_all_of_an_empty_message)
{
	struct iovec iov[4];

	restart(4, "");
	add(1);
	spool_preface(spool, "Received: x\r\n", 13);
	cr_assert_not(spool_full(spool), "nothing would ever follow");
	spool_finish(spool);
	cr_assert_eq(spool_peek(&probes[0].reader, iov, 4), 1);
	cr_assert_eq(iov[0].iov_len, 13);
}

Test(spool, an_empty_message)
{
	add(2);
	spool_finish(spool);
	pump();
	cr_expect_eq(probes[0].ready, 1);
	cr_expect_eq(probes[1].ready, 1);
	cr_expect_eq(take(&probes[0], 1), 0);
	cr_expect(at_end(&probes[0]));
	cr_expect_eq(spool_memory(spool), 0);
}

Test(spool, a_reader_of_a_finished_empty_message_is_told)
{
	spool_finish(spool);
	add(1);
	pump();
	cr_expect_eq(probes[0].ready, 1);
	cr_expect(at_end(&probes[0]));
}

Test(spool, ready_is_called_once_a_pass)
{
	add(1);
	put(100);
	put(100);
	spool_finish(spool);
	pump();
	cr_expect_eq(probes[0].ready, 1);
	pump();
	cr_expect_eq(probes[0].ready, 1);
	cr_expect_eq(take(&probes[0], SIZE_MAX), 200);
}

Test(spool, peeking_does_not_move)
{
	struct iovec a, b;

	add(1);
	put(1000);
	cr_assert_eq(spool_peek(&probes[0].reader, &a, 1), 1);
	cr_assert_eq(spool_peek(&probes[0].reader, &b, 1), 1);
	cr_expect_eq(a.iov_base, b.iov_base);
	cr_expect_eq(a.iov_len, 1000);
	spool_advance(&probes[0].reader, 400);
	cr_assert_eq(spool_peek(&probes[0].reader, &b, 1), 1);
	cr_expect_eq(b.iov_len, 600);
	check_bytes(&b, 400, 600);
	cr_expect_eq(spool_peek(&probes[0].reader, &b, 0), 0);
}

Test(spool, pieces_are_limited_by_max)
{
	struct iovec iov[2];

	add(1);
	put(WINDOW);
	cr_assert_eq(spool_peek(&probes[0].reader, iov, 1), 1);
	cr_assert_eq(spool_peek(&probes[0].reader, iov, 2), 2);
	check_bytes(&iov[0], 0, iov[0].iov_len);
	check_bytes(&iov[1], iov[0].iov_len, iov[1].iov_len);
	take_all(&probes[0]);
}

Test(spool, committing_less_than_reserved)
{
	size_t room, i;

	add(1);
	for (i = 0; i < 2000; i++) {
		char *to = spool_reserve(spool, &room);

		cr_assert_geq(room, 4 * KIB);
		memset(to, 'x', room);
		fill(to, spool_size(spool), i % 3 * 500);
		spool_commit(spool, i % 3 * 500);
		if (i % 50 == 0)
			take_all(&probes[0]);
	}
	take_all(&probes[0]);
	cr_expect_eq(spool_size(spool), (667 + 666 * 2) * 500);
}

Test(spool, without_readers_nothing_is_kept)
{
	put(10 * MIB);
	cr_expect_eq(spool_size(spool), 10 * MIB);
	cr_expect_not(spool_full(spool));
	cr_expect_leq(spool_memory(spool), 64 * KIB);
	spool_finish(spool);
	pump();
}

Test(spool, the_last_reader_to_leave_frees_the_memory)
{
	add(1);
	put(WINDOW + 1);
	cr_expect(spool_full(spool));
	spool_reader_remove(&probes[0].reader);
	cr_expect_not(spool_full(spool));
	cr_expect_leq(spool_memory(spool), 64 * KIB);
	pump();
	cr_expect_eq(writable_calls, 1);
	cr_expect_eq(probes[0].ready, 0, "not after the removal");
}

Test(spool, one_reader_more_than_the_window_behind_is_full)
{
	add(1);
	put(WINDOW);
	cr_expect_not(spool_full(spool));
	put(1);
	cr_expect(spool_full(spool));
	pump();
	cr_expect_eq(writable_calls, 0);
	take(&probes[0], 1);
	cr_expect_not(spool_full(spool));
	cr_expect_eq(writable_calls, 0, "not inside the call");
	pump();
	cr_expect_eq(writable_calls, 1);
	take_all(&probes[0]);
	pump();
	cr_expect_eq(writable_calls, 1);
	cr_expect_eq(open_files(), 0);
}

Test(spool, full_again_before_the_writer_heard_of_it)
{
	add(1);
	put(WINDOW + 1);
	take(&probes[0], 1);
	put(1);
	cr_expect(spool_full(spool));
	pump();
	cr_expect_eq(writable_calls, 0);
	take(&probes[0], 1);
	pump();
	cr_expect_eq(writable_calls, 1);
}

Test(spool, readers_that_are_slow_together_stop_the_writer)
{
	add(2);
	put(WINDOW + 10);
	take(&probes[0], WINDOW / 2);
	cr_expect(spool_full(spool));
	cr_expect_eq(open_files(), 0);
	/* Now one of them is at most half the window behind. */
	take(&probes[0], 10);
	cr_expect_not(spool_full(spool));
	cr_expect_eq(open_files(), 1);
	pump();
	cr_expect_eq(writable_calls, 1);
	take_all(&probes[0]);
	take_all(&probes[1]);
	cr_expect_eq(open_files(), 0);
}

Test(spool, a_slow_reader_catches_up_while_it_is_written)
{
	add(2);
	while (spool_size(spool) < 2 * MIB) {
		put(50 * KIB);
		take_all(&probes[0]);
	}
	while (left(&probes[1]) > 0) {
		if (spool_size(spool) < 4 * MIB)
			put(50 * KIB);
		take_all(&probes[0]);
		take(&probes[1], 70 * KIB);
	}
	cr_expect_eq(open_files(), 0);
	cr_expect_leq(spool_memory(spool), WINDOW + 64 * KIB);
	/* And can fall behind again. */
	put(WINDOW + 1);
	take_all(&probes[0]);
	cr_expect_eq(open_files(), 1);
	spool_finish(spool);
	take_all(&probes[1]);
	cr_expect(at_end(&probes[1]));
}

Test(spool, when_the_fast_one_leaves_the_slow_one_sets_the_pace)
{
	add(2);
	while (spool_size(spool) < 2 * MIB) {
		put(50 * KIB);
		take_all(&probes[0]);
	}
	take(&probes[1], 10);
	spool_reader_remove(&probes[0].reader);
	cr_expect(spool_full(spool));
	take(&probes[1], 2 * MIB - WINDOW - 1);
	while (spool_full(spool))
		take(&probes[1], 10 * KIB);
	pump();
	cr_expect_eq(writable_calls, 1);
	take_all(&probes[1]);
	cr_expect_eq(open_files(), 0);
	cr_expect_leq(spool_memory(spool), 64 * KIB);
}

Test(spool, when_the_slow_one_leaves_the_file_goes)
{
	add(2);
	put(WINDOW + 1);
	take_all(&probes[0]);
	take(&probes[1], 1);
	cr_expect_eq(open_files(), 1);
	spool_reader_remove(&probes[1].reader);
	cr_expect_eq(open_files(), 0);
	cr_expect_leq(spool_memory(spool), 64 * KIB);
}

Test(spool, a_window_smaller_than_a_chunk)
{
	restart(4 * KIB, dir);
	add(2);
	while (spool_size(spool) < MIB) {
		put(3 * KIB);
		take_all(&probes[0]);
		cr_assert_not(spool_full(spool), "at %ju",
			      (uintmax_t)spool_size(spool));
	}
	take_all(&probes[1]);
}

Test(spool, removing_is_idempotent)
{
	struct spool_reader none = { .pos = 0 };

	add(3);
	put(10);
	spool_reader_remove(&none);
	spool_reader_remove(&probes[0].reader);
	spool_reader_remove(&probes[0].reader);
	spool_free(&spool);
	cr_expect_null(spool);
	spool_free(&spool);
	spool_reader_remove(&probes[1].reader);
	cr_expect_eq(take(&probes[1], 1), 0);
	pump();
	cr_expect_eq(probes[2].ready, 0);
}

Test(spool, removing_inside_ready)
{
	add(3);
	probes[0].remove_in_ready = probes[1].remove_in_ready = true;
	put(WINDOW + 1);
	pump();
	cr_expect_eq(probes[2].ready, 1);
	take_all(&probes[2]);
	pump();
	cr_expect_eq(writable_calls, 1);
	cr_expect_eq(probes[0].ready, 1);
}

Test(spool, freeing_inside_ready)
{
	add(3);
	probes[1].free_in_ready = true;
	put(10);
	pump();
	cr_expect_null(spool);
	cr_expect_eq(probes[0].ready, 1);
	cr_expect_eq(probes[2].ready, 0);
}
