# Reads messages with MIME-tools and Mail::Address, which share no code with us: on standard input
# the length of one in octets, a line, then its octets; on standard output a line of JSON for each.
use strict;
use warnings;
use Encode qw(decode FB_CROAK);
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use MIME::Parser;
use MIME::Words qw(decode_mimewords);
use Mail::Address;

my $json = JSON::PP->new->ascii->canonical;
binmode $_ for (\*STDIN, \*STDOUT);
$| = 1;

sub charset {    # Perl's strict UTF-8 refuses U+FFFE and its like, which Unicode allows
    my ($name) = @_;
    return 'us-ascii' unless $name;
    return lc($name) eq 'utf-8' ? 'utf8' : $name;
}

sub words {    # encoded-words to characters
    my ($text) = @_;
    return undef unless defined $text;
    $text =~ s/\r?\n([ \t])/$1/g;
    $text =~ s/\r?\n\z//;
    return join '', map { decode(charset($_->[1]), $_->[0], FB_CROAK) } decode_mimewords($text);
}

sub tree {
    my ($entity) = @_;
    my $head = $entity->head;
    my %found = (
        type       => $head->mime_type,
        encoding   => $head->mime_encoding,
        disposition => lc($head->mime_attr('content-disposition') // ''),
        charset    => $head->mime_attr('content-type.charset'),
        name       => $head->mime_attr('content-type.name'),
        file       => words($head->mime_attr('content-disposition.filename')),
        content_id => words($head->get('Content-ID')),
    );
    if ($entity->parts) { $found{parts} = [map { tree($_) } $entity->parts] }
    else { $found{body} = encode_base64($entity->bodyhandle->as_string, '') }
    return \%found;
}

while (defined(my $length = <STDIN>)) {
    read(STDIN, my $octets, $length) == $length or die "a message was cut off";
    my $parser = MIME::Parser->new;
    $parser->output_to_core(1);
    $parser->tmp_to_core(1);
    $parser->decode_headers(0);
    my $entity = $parser->parse_data($octets);
    my $head = $entity->head;
    my %answer = (
        problems => [$parser->results->errors, $parser->results->warnings],
        tags     => [map { /^([^:]+):/ ? $1 : () } split /\n/, $head->as_string],
        subject  => words($head->get('Subject')),
        to       => [map { [words($_->phrase), $_->address] } Mail::Address->parse($head->get('To'))],
        from     => [map { [words($_->phrase), $_->address] } Mail::Address->parse($head->get('From'))],
        root     => tree($entity),
    );
    print $json->encode(\%answer), "\n";
}
